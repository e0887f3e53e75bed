package org.elasticsearch.dissect;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Text cut at what stands between keys: {@code %{key}}, {@code %{}}, {@code %{?skipped}}, {@code %{+appended}}, {@code %{padded->}}. */
public final class DissectParser {
    private static final Pattern KEY = Pattern.compile("%\\{([?+*&]?)([^}]*?)(->)?}");

    private final List<Key> keys = new ArrayList<>();
    private final String before;
    private final String glue;

    private record Key(String name, boolean skipped, boolean appended, boolean padded, String after) {}

    public DissectParser(String pattern, String appendSeparator) {
        glue = appendSeparator == null ? "" : appendSeparator;
        Matcher found = KEY.matcher(pattern);
        if (found.find() == false) {
            throw new DissectException("Unable to parse pattern: " + pattern);
        }
        before = pattern.substring(0, found.start());
        boolean more = true;
        while (more) {
            String kind = found.group(1);
            String name = found.group(2);
            boolean padded = found.group(3) != null;
            int end = found.end();
            if ("*&".contains(kind) && kind.isEmpty() == false) {
                throw new DissectException("Reference keys are not supported: " + pattern);
            }
            more = found.find();
            String after = pattern.substring(end, more ? found.start() : pattern.length());
            keys.add(new Key(name, kind.equals("?") || name.isEmpty(), kind.equals("+"), padded, after));
        }
    }

    public Set<String> outputKeys() {
        Set<String> names = new LinkedHashSet<>();
        keys.stream().filter(key -> key.skipped == false).forEach(key -> names.add(key.name));
        return names;
    }

    public Set<String> referenceKeys() {
        return Set.of();
    }

    /** The values by key; null where the text is not of this form. */
    public Map<String, String> parse(String text) {
        if (text == null || text.startsWith(before) == false) {
            return null;
        }
        Map<String, String> values = new LinkedHashMap<>();
        int start = before.length();
        for (Key key : keys) {
            int end = key.after.isEmpty() ? text.length() : text.indexOf(key.after, start);
            if (end < 0) {
                return null;
            }
            String value = text.substring(start, end);
            if (key.skipped == false) {
                values.merge(key.name, value, (one, other) -> key.appended ? one + glue + other : other);
            }
            start = end + key.after.length();
            while (key.padded && key.after.isEmpty() == false && text.startsWith(key.after, start)) {
                start += key.after.length();
            }
        }
        return values;
    }
}
