// SPDX-License-Identifier: Apache-2.0
package rig;

import com.shop.Order;
import com.shop.Req;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

/**
 * Calls com.shop.Order at application level, without retries, as commands on standard
 * input say, until that ends.
 * Settings: app, registry, protocol, timeout (ms).
 * Commands:
 *   load batch tag rate work limit   see Load; "-" is no tag
 *   stop batch
 *   weights                          of every provider, see Weights
 * Lines: READY; CALL id start end by error; DONE batch; WEIGHT ...; WEIGHED.
 */
public final class Consumer {
    public static void main(String[] args) throws Exception {
        Peer peer = new Peer(args);
        System.setProperty("dubbo.application.service-discovery.migration", "FORCE_APPLICATION");
        ReferenceConfig<Order> reference = new ReferenceConfig<>();
        reference.setInterface(Order.class);
        reference.setCheck(false);
        reference.setProtocol(peer.text("protocol"));
        reference.setTimeout(peer.number("timeout", 0));
        reference.setRetries(0);
        reference.setLoadbalance("random");
        DubboBootstrap.getInstance().application(peer.application()).registry(peer.registry())
                .reference(reference).start();
        Order order = reference.get();
        Map<String, AtomicBoolean> running = new ConcurrentHashMap<>();
        Peer.say("READY");
        var in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            List<String> word = List.of(line.split(" "));
            switch (word.get(0)) {
                case "load" -> {
                    AtomicBoolean on = new AtomicBoolean(true);
                    running.put(word.get(1), on);
                    String tag = word.get(2).equals("-") ? null : word.get(2);
                    new Load(order, on, word.get(1), tag, Integer.parseInt(word.get(3)),
                            Integer.parseInt(word.get(4)), Integer.parseInt(word.get(5))).start();
                }
                case "stop" -> running.get(word.get(1)).set(false);
                case "weights" -> Weights.say(reference);
                default -> throw new IllegalArgumentException(line);
            }
        }
        Runtime.getRuntime().halt(0); // the test is over
    }
}
