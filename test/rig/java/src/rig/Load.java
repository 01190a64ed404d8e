// SPDX-License-Identifier: Apache-2.0
package rig;

import com.shop.Order;
import com.shop.Req;
import com.shop.Resp;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.dubbo.rpc.RpcContext;

/**
 * A batch of calls: at most `limit`, `rate` a second at their times whatever the answers
 * do, or from 8 threads one after the other if it is 0; each works for `work` ms. It ends
 * early when `on` turns false.
 */
final class Load {
    private static final int CALLERS = 8;
    private final Order order;
    private final AtomicBoolean on;
    private final String batch;
    private final String tag;
    private final int rate;
    private final int work;
    private final int limit;

    Load(Order order, AtomicBoolean on, String batch, String tag, int rate, int work, int limit) {
        this.order = order;
        this.on = on;
        this.batch = batch;
        this.tag = tag;
        this.rate = rate;
        this.work = work;
        this.limit = limit;
    }

    void start() {
        new Thread(() -> {
            ExecutorService callers = rate > 0 ? Executors.newCachedThreadPool() : Executors.newFixedThreadPool(CALLERS);
            if (rate > 0) {
                open(callers);
            } else {
                AtomicInteger next = new AtomicInteger();
                for (int i = 0; i < CALLERS; i++) {
                    callers.execute(() -> {
                        for (int n = next.getAndIncrement(); n < limit && on.get(); n = next.getAndIncrement()) {
                            call(n);
                        }
                    });
                }
            }
            callers.shutdown();
            try {
                callers.awaitTermination(1, TimeUnit.HOURS);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            Peer.say("DONE " + batch);
        }).start();
    }

    private void open(ExecutorService callers) {
        long start = System.nanoTime();
        for (int i = 0; i < limit && on.get(); i++) {
            long wait = start + i * (1_000_000_000L / rate) - System.nanoTime();
            if (wait > 0) {
                try {
                    TimeUnit.NANOSECONDS.sleep(wait);
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }
            int n = i;
            callers.execute(() -> call(n));
        }
    }

    private void call(int n) {
        String id = batch + "-" + n;
        String by = "-";
        String error = "";
        long start = Peer.micros();
        try {
            if (tag != null) {
                RpcContext.getClientAttachment().setAttachment("dubbo.tag", tag);
            }
            Resp r = order.get(new Req(id, work));
            if (r == null) {
                error = " an empty answer";
            } else {
                by = r.by;
            }
        } catch (Throwable e) {
            error = " " + (e + " <- " + e.getCause()).replace('\n', ' ');
        }
        Peer.say("CALL " + id + " " + start + " " + Peer.micros() + " " + by + error);
    }
}
