// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.dubbo.common.URL;
import org.apache.dubbo.common.utils.Holder;
import org.apache.dubbo.common.utils.NetUtils;
import org.apache.dubbo.rpc.Invocation;
import org.apache.dubbo.rpc.Invoker;
import org.apache.dubbo.rpc.Result;
import org.apache.dubbo.rpc.RpcInvocation;
import org.apache.dubbo.rpc.cluster.router.state.BitList;
import org.apache.dubbo.rpc.cluster.router.tag.TagStateRouter;
import org.apache.dubbo.rpc.cluster.router.tag.TagStateRouterFactory;
import org.apache.dubbo.rpc.cluster.router.tag.model.TagRouterRule;
import org.apache.dubbo.rpc.cluster.router.tag.model.TagRuleParser;

/**
 * Writes what Dubbo Java's tag router answers to each line of a file, to another
 * file: a line "route", rule (base64), tag, force, URLs; or "address", expression,
 * host, port; all separated by tabs.
 */
public class Answers {
    private record Provider(URL url) implements Invoker<String> {
        public Class<String> getInterface() {
            return String.class;
        }

        public URL getUrl() {
            return url;
        }

        public boolean isAvailable() {
            return true;
        }

        public void destroy() {}

        public Result invoke(Invocation invocation) {
            return null;
        }
    }

    public static void main(String[] args) throws Exception {
        List<String> out = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] f = line.split("\t", -1);
            out.add(f[0].equals("route") ? route(f) : address(f));
        }
        Files.write(Path.of(args[1]), out);
        System.exit(0); // Dubbo leaves threads behind
    }

    /** The positions of the instances that are left, "-" for none, "refused" for a rule that Dubbo Java cannot use. */
    private static String route(String[] f) {
        URL reference = URL.valueOf("consumer://localhost/com.shop.Order");
        List<Invoker<String>> list = new ArrayList<>();
        for (int i = 4; i < f.length; i++) {
            list.add(new Provider(URL.valueOf(f[i])));
        }
        BitList<Invoker<String>> all = new BitList<>(list);
        TagStateRouter<String> router = (TagStateRouter<String>) new TagStateRouterFactory().getRouter(String.class, reference);
        router.notify(all);
        String text = new String(Base64.getDecoder().decode(f[1]), StandardCharsets.UTF_8);
        if (!text.isEmpty()) {
            try {
                TagRouterRule rule = TagRuleParser.parse(text);
                rule.init(router);
                router.setTagRouterRule(rule);
            } catch (NullPointerException e) {
                return "refused";
            }
        }
        RpcInvocation call = new RpcInvocation();
        if (!f[2].isEmpty()) {
            call.setAttachment("dubbo.tag", f[2]);
        }
        call.setAttachment("dubbo.force.tag", f[3]);
        List<Invoker<String>> left = router.route(all.clone(), reference, call, false, new Holder<>());
        List<String> at = new ArrayList<>();
        for (int i = 0; i < list.size(); i++) {
            if (left.contains(list.get(i))) {
                at.add(Integer.toString(i));
            }
        }
        return at.isEmpty() ? "-" : String.join(" ", at);
    }

    /** As TagStateRouter.checkAddressMatch, which is private. */
    private static String address(String[] f) {
        try {
            int port = Integer.parseInt(f[3]);
            return Boolean.toString(NetUtils.matchIpExpression(f[1], f[2], port) || ("0.0.0.0:" + port).equals(f[1]));
        } catch (Exception e) {
            return "false";
        }
    }
}
