package org.elasticsearch.dissect;

/** A pattern that cannot be read. */
public class DissectException extends RuntimeException {
    public DissectException(String message) {
        super(message);
    }
}
