package dev.rocketkube.interop;

import java.time.Duration;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Predicate;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;

/** What a case says about an outcome; every failure names what was seen. */
final class Check {
    /** Longer than the client's own 20 s rebalance, so that one missed notice delays a case but does not fail it. */
    static final Duration DEADLINE = Duration.ofSeconds(45);

    private static final long POLL_MS = 20;

    private Check() {}

    static void equal(String what, Object expected, Object seen) {
        if (!Objects.equals(expected, seen)) {
            throw new AssertionError(what + ": expected " + expected + ", saw " + seen);
        }
    }

    static void that(boolean claim, String what) {
        if (!claim) {
            throw new AssertionError("not so: " + what);
        }
    }

    /** Asks until the answer fits and returns it; any failure counts as "not yet". */
    static <T> T eventually(String what, Callable<T> ask, Predicate<T> fits) throws InterruptedException {
        return within(DEADLINE, what, ask, fits);
    }

    /** As above, with a limit of its own. */
    static <T> T within(Duration limit, String what, Callable<T> ask, Predicate<T> fits) throws InterruptedException {
        var deadline = System.nanoTime() + limit.toNanos();
        Object seen;
        do {
            try {
                var answer = ask.call();
                if (fits.test(answer)) {
                    return answer;
                }
                seen = answer;
            } catch (InterruptedException interrupted) {
                throw interrupted;
            } catch (Exception | AssertionError notYet) {
                seen = notYet;
            }
            Thread.sleep(POLL_MS);
        } while (System.nanoTime() < deadline);
        throw new AssertionError(what + ": not within " + limit.toSeconds() + " s, last saw " + seen);
    }

    static <T> void becomes(String what, T expected, Callable<T> ask) throws InterruptedException {
        eventually(what + " = " + expected, ask, seen -> Objects.equals(expected, seen));
    }

    /** The call must be refused with this response code, by the broker or, where it checks first, by the client. */
    static void refused(String what, int code, Call call) throws Exception {
        refused(what, Set.of(code), call);
    }

    /** As above, where more than one code is right. */
    static void refused(String what, Set<Integer> codes, Call call) throws Exception {
        int code;
        String text;
        try {
            call.run();
            throw new AssertionError(what + ": accepted, expected code " + codes);
        } catch (MQBrokerException refusal) {
            code = refusal.getResponseCode();
            text = refusal.getErrorMessage();
        } catch (MQClientException refusal) {
            code = refusal.getResponseCode();
            text = refusal.getErrorMessage();
        }
        that(codes.contains(code), "code of " + what + " is in " + codes + ": " + code + " " + text);
    }

    @FunctionalInterface
    interface Call {
        void run() throws Exception;
    }
}
