package org.elasticsearch.xpack.esql.arrow;

import java.util.Map;
import java.util.Set;
import org.elasticsearch.xcontent.MediaType;

/** A name for a form of answers that this node does not give. */
public final class ArrowFormat implements MediaType {
    public static final ArrowFormat INSTANCE = new ArrowFormat();

    @Override
    public String queryParameter() {
        return "arrow";
    }

    @Override
    public Set<HeaderValue> headerValues() {
        return Set.of(new HeaderValue("application/vnd.apache.arrow.stream", Map.of()));
    }
}
