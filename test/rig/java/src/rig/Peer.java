// SPDX-License-Identifier: Apache-2.0
package rig;

import java.lang.reflect.Field;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import org.apache.dubbo.common.utils.NetUtils;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.RegistryConfig;

/** What provider and consumer have in common: settings as key=value, lines on standard output. */
final class Peer {
    private final Map<String, String> settings = new HashMap<>();

    Peer(String[] args) {
        stayOnLoopback();
        for (String a : args) {
            int i = a.indexOf('=');
            if (i < 0) {
                throw new IllegalArgumentException("want key=value, got " + a);
            }
            settings.put(a.substring(0, i), a.substring(i + 1));
        }
    }

    /** The setting, or null. */
    String text(String key) {
        return settings.get(key);
    }

    int number(String key, int otherwise) {
        String v = settings.get(key);
        return v == null ? otherwise : Integer.parseInt(v);
    }

    ApplicationConfig application() {
        ApplicationConfig a = new ApplicationConfig(text("app"));
        a.setQosEnable(false);
        a.setLogger("slf4j");
        return a;
    }

    RegistryConfig registry() {
        RegistryConfig r = new RegistryConfig(text("registry"));
        r.setTimeout(10_000);
        return r;
    }

    /**
     * Makes Dubbo take 127.0.0.1 for this machine's own address. It replaces the loopback
     * address of a provider by that address before it connects, which would go out to
     * where nobody listens; no setting of Dubbo's allows 127.0.0.1.
     */
    private static void stayOnLoopback() {
        try {
            Field own = NetUtils.class.getDeclaredField("HOST_ADDRESS");
            own.setAccessible(true);
            own.set(null, "127.0.0.1");
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Unix time in microseconds. */
    static long micros() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1_000;
    }

    /** Writes one line at once, whichever thread writes. */
    static void say(String line) {
        System.out.println("PEER " + line);
    }
}
