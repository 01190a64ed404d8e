// SPDX-License-Identifier: Apache-2.0
package rig;

import com.shop.Order;
import com.shop.Req;
import java.util.List;
import org.apache.dubbo.common.URL;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.registry.client.migration.MigrationInvoker;
import org.apache.dubbo.rpc.Invocation;
import org.apache.dubbo.rpc.Invoker;
import org.apache.dubbo.rpc.RpcInvocation;
import org.apache.dubbo.rpc.cluster.ClusterInvoker;
import org.apache.dubbo.rpc.cluster.loadbalance.AbstractLoadBalance;

/**
 * Tells the weight that Dubbo's balancers compute for each provider now:
 * WEIGHT address weight before after timestamp warmup, times in Unix ms, warmup in ms,
 * "-" for what the provider did not publish; then WEIGHED.
 */
final class Weights {
    /** Opens the method that all balancers of Dubbo's share. */
    private static final class Balancer extends AbstractLoadBalance {
        @Override
        protected <T> Invoker<T> doSelect(List<Invoker<T>> list, URL url, Invocation call) {
            throw new UnsupportedOperationException();
        }

        int weight(Invoker<?> provider) {
            return getWeight(provider, new RpcInvocation("get", Order.class.getName(), "",
                    new Class<?>[] {Req.class}, new Object[] {null}));
        }
    }

    static void say(ReferenceConfig<Order> reference) {
        Invoker<?> of = reference.getInvoker();
        if (of instanceof MigrationInvoker<?> m) {
            of = m.getServiceDiscoveryInvoker();
        }
        Balancer balancer = new Balancer();
        for (Invoker<?> p : ((ClusterInvoker<?>) of).getDirectory().getAllInvokers()) {
            URL u = p.getUrl();
            long before = System.currentTimeMillis();
            int weight = balancer.weight(p);
            long after = System.currentTimeMillis();
            Peer.say("WEIGHT " + u.getAddress() + " " + weight + " " + before + " " + after
                    + " " + u.getParameter("timestamp", "-") + " " + u.getParameter("warmup", "-"));
        }
        Peer.say("WEIGHED");
    }
}
