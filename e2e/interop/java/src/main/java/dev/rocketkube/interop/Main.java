package dev.rocketkube.interop;

import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/**
 * Runs the cases against one name server: {@code --namesrv HOST:PORT [--case NAME|all] [--threads N]}.
 *
 * <p>Prints {@code ok NAME} or {@code FAIL NAME: why} as each case ends, then {@code N passed, N failed}.
 * Exit code 0 only if every case passed. Cases use fresh topics and groups, so they neither disturb
 * each other nor the next run on the same server.
 */
public final class Main {
    /** Far above any case's own deadlines; only a client call that never returns gets here. */
    private static final Duration STUCK = Duration.ofSeconds(180);

    private static final int LONGEST_REASON = 1000;

    private final Server server;
    private final ExecutorService runners;
    private final PrintStream out = System.out;

    private Main(Server server, int threads) {
        this.server = server;
        this.runners = Executors.newFixedThreadPool(threads);
    }

    public static void main(String[] arguments) throws Exception {
        var options = Options.parse(arguments);
        var cases = Stream.of(SendCases.all(), BodyCases.all(), PushCases.all(), GroupCases.all(), PullCases.all(),
                        LitePullCases.all(), QueryCases.all(), TopicAdminCases.all(), AdminCases.all(), ResetCases.all(),
                        RefusalCases.all())
                .flatMap(List::stream)
                .filter(one -> options.wanted().equals("all") || options.wanted().equals(one.name()))
                .toList();
        if (cases.isEmpty()) {
            System.err.println("no case is called " + options.wanted());
            System.exit(2);
        }
        var status = 1;
        try {
            var failed = new Main(Server.connect(options.namesrv()), options.threads()).run(cases);
            status = failed == 0 ? 0 : 1;
        } catch (Exception | AssertionError unreachable) {
            System.err.println("cannot begin: " + unreachable.getMessage());
        } finally {
            // The clients leave threads behind that are not daemons.
            System.exit(status);
        }
    }

    private int run(List<Case> cases) throws InterruptedException {
        var pending = cases.stream().map(one -> runners.submit(() -> attempt(one))).toList();
        var failed = 0;
        for (var index = 0; index < cases.size(); index++) {
            if (!passed(cases.get(index), pending.get(index))) {
                failed++;
            }
        }
        out.printf("%d passed, %d failed%n", cases.size() - failed, failed);
        return failed;
    }

    private Void attempt(Case one) throws Exception {
        var start = System.nanoTime();
        try (var session = new Session(server)) {
            one.steps().run(session);
        } catch (Throwable failure) {
            if (Boolean.getBoolean("interop.stack")) {
                failure.printStackTrace();
            }
            throw failure;
        }
        out.printf("ok %s # %.1f s%n", one.name(), (System.nanoTime() - start) / 1e9);
        return null;
    }

    private boolean passed(Case one, Future<Void> result) throws InterruptedException {
        try {
            result.get(STUCK.toSeconds(), TimeUnit.SECONDS);
            return true;
        } catch (ExecutionException failure) {
            out.printf("FAIL %s: %s%n", one.name(), oneLine(failure.getCause()));
        } catch (TimeoutException stuck) {
            out.printf("FAIL %s: not finished after %d s%n", one.name(), STUCK.toSeconds());
        }
        return false;
    }

    private static String oneLine(Throwable failure) {
        var where = Stream.of(failure.getStackTrace())
                .filter(frame -> frame.getClassName().startsWith("dev.rocketkube") && frame.getClassName().endsWith("Cases"))
                .findFirst()
                .map(frame -> " (" + frame.getFileName() + ":" + frame.getLineNumber() + ")")
                .orElse("");
        var text = failure instanceof AssertionError ? failure.getMessage() : failure.toString();
        var line = text.replaceAll("\\s+", " ");
        return (line.length() > LONGEST_REASON ? line.substring(0, LONGEST_REASON) + " ..." : line) + where;
    }

    private record Options(String namesrv, String wanted, int threads) {
        static Options parse(String[] arguments) {
            String namesrv = null;
            var wanted = "all";
            var threads = 6;
            for (var index = 0; index + 1 < arguments.length; index += 2) {
                var value = arguments[index + 1];
                switch (arguments[index]) {
                    case "--namesrv" -> namesrv = value;
                    case "--case" -> wanted = value;
                    case "--threads" -> threads = Integer.parseInt(value);
                    default -> namesrv = null;
                }
            }
            if (namesrv == null || arguments.length % 2 != 0) {
                System.err.println("usage: --namesrv HOST:PORT [--case NAME|all] [--threads N]");
                System.exit(2);
            }
            return new Options(namesrv, wanted, threads);
        }
    }
}
