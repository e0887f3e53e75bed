package org.elasticsearch.xpack.versionfield;

import org.apache.lucene.util.BytesRef;

/** A version as its own text: equal ones are equal, their order is that of texts. */
public record Version(BytesRef text) implements Comparable<Version> {

    public Version(String text) {
        this(new BytesRef(text));
    }

    public BytesRef toBytesRef() {
        return text;
    }

    @Override
    public String toString() {
        return text.utf8ToString();
    }

    @Override
    public int compareTo(Version other) {
        return text.compareTo(other.text);
    }
}
