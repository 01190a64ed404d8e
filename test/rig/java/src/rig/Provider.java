// SPDX-License-Identifier: Apache-2.0
package rig;

import com.shop.Order;
import com.shop.Resp;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

/**
 * Offers com.shop.Order at application level until it is told to end by SIGTERM.
 * Settings: name, app, registry, protocol, port; tag, warmup (ms), weight, where set.
 * Lines: READY; EXEC id, Unix time in us.
 */
public final class Provider {
    public static void main(String[] args) throws Exception {
        Peer peer = new Peer(args);
        String name = peer.text("name");
        ServiceConfig<Order> service = new ServiceConfig<>();
        service.setInterface(Order.class);
        service.setRef(r -> {
            Peer.say("EXEC " + r.id + " " + Peer.micros());
            try {
                Thread.sleep(r.work);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            return new Resp(name);
        });
        if (peer.text("tag") != null) {
            service.setTag(peer.text("tag"));
        }
        if (peer.text("warmup") != null) {
            service.setWarmup(peer.number("warmup", 0));
        }
        if (peer.text("weight") != null) {
            service.setWeight(peer.number("weight", 0));
        }
        ProtocolConfig protocol = new ProtocolConfig(peer.text("protocol"), peer.number("port", 0));
        protocol.setHost("127.0.0.1");
        var registry = peer.registry();
        registry.setRegisterMode("instance");
        DubboBootstrap.getInstance().application(peer.application()).registry(registry)
                .protocol(protocol).service(service).start();
        Peer.say("READY");
        Thread.currentThread().join();
    }
}
