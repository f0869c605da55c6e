import com.microsoft.signalr.HubConnection;
import com.microsoft.signalr.HubConnectionBuilder;
import com.microsoft.signalr.HubConnectionState;
import com.microsoft.signalr.TransportEnum;
import io.reactivex.rxjava3.core.Single;
import io.reactivex.rxjava3.subjects.ReplaySubject;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * What the unmodified SignalR client for Java does against a gateway with the probe as upstream of hub `probe`.
 *
 * <p>Arguments: SCENARIO URL TRANSPORT TOKEN. A scenario says `done` at its end.
 */
public final class Scenarios {
    private static final long PATIENCE = 120;
    private static String url;
    private static TransportEnum transport;
    private static String token;

    public static void main(String[] arguments) throws Exception {
        url = arguments[1];
        transport = arguments[2].equals("LongPolling") ? TransportEnum.LONG_POLLING : TransportEnum.WEBSOCKETS;
        token = arguments[3];
        switch (arguments[0]) {
            case "connect and disconnect" -> connectAndDisconnect();
            case "a call with a result" -> aCallWithAResult();
            case "a call with an error" -> aCallWithAnError();
            case "receiving from another client" -> receivingFromAnotherClient();
            case "groups" -> groups();
            case "order" -> order();
            case "streams both ways" -> streamsBothWays();
            case "client results" -> clientResults();
            case "close with a reason" -> closeWithAReason();
            case "a token that is refused" -> aTokenThatIsRefused();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        System.out.println("done");
        // Its HTTP client keeps threads for a while.
        System.exit(0);
    }

    private static void connectAndDisconnect() {
        HubConnection connection = started(token);
        check(connection.getConnectionState() == HubConnectionState.CONNECTED, "connected");
        check(connection.getConnectionId() != null, "an id");
        connection.stop().blockingAwait(PATIENCE, TimeUnit.SECONDS);
        check(connection.getConnectionState() == HubConnectionState.DISCONNECTED, "disconnected");
    }

    private static void aCallWithAResult() {
        HubConnection connection = started(token);
        for (Object value : new Object[] {"text", "", 1.5, true, "ü 👋", "x".repeat(200_000)}) {
            Object answer = connection.invoke(Object.class, "echo", value).timeout(PATIENCE, TimeUnit.SECONDS).blockingGet();
            check(Objects.equals(answer, value), value + " came back as " + answer);
        }
        long big = 1L << 40;
        check(connection.invoke(Long.class, "echo", big).blockingGet() == big, "a long");
        Map<?, ?> nested = Map.of("a", List.of("b", List.of(true)));
        check(connection.invoke(Object.class, "echo", nested).blockingGet().equals(nested), "nested values");
        connection.stop().blockingAwait();
    }

    private static void aCallWithAnError() {
        HubConnection connection = started(token);
        refused(connection.invoke(Object.class, "fail", "No, not today."), "No, not today.");
        refused(connection.invoke(Object.class, "no such method"), "no such method");
        check(connection.invoke(String.class, "echo", "fine").blockingGet().equals("fine"), "it goes on");
        connection.stop().blockingAwait();
    }

    private static void receivingFromAnotherClient() throws Exception {
        LinkedBlockingQueue<String> heard = new LinkedBlockingQueue<>();
        HubConnection ann = started(token);
        HubConnection bob = started(token);
        ann.on("said", heard::add, String.class);
        bob.on("said", heard::add, String.class);
        bob.send("say", "hello, all");
        check("hello, all".equals(heard.poll(PATIENCE, TimeUnit.SECONDS)), "one");
        check("hello, all".equals(heard.poll(PATIENCE, TimeUnit.SECONDS)), "the other");
        ann.stop().blockingAwait();
        bob.stop().blockingAwait();
    }

    private static void groups() throws Exception {
        LinkedBlockingQueue<String> heard = new LinkedBlockingQueue<>();
        HubConnection ann = started(token);
        HubConnection bob = started(token);
        ann.on("said", heard::add, String.class);
        ann.invoke("join", "tea").blockingAwait();
        bob.invoke("sayTo", "tea", "one").blockingAwait();
        bob.invoke("sayTo", "coffee", "two").blockingAwait();
        check("one".equals(heard.poll(PATIENCE, TimeUnit.SECONDS)), "the group's message");
        ann.invoke("leave", "tea").blockingAwait();
        bob.invoke("sayTo", "tea", "three").blockingAwait();
        bob.invoke("say", "four").blockingAwait();
        check("four".equals(heard.poll(PATIENCE, TimeUnit.SECONDS)), "only what is for all");
        ann.stop().blockingAwait();
        bob.stop().blockingAwait();
    }

    private static void order() throws Exception {
        LinkedBlockingQueue<String> heard = new LinkedBlockingQueue<>();
        HubConnection connection = started(token);
        connection.on("said", heard::add, String.class);
        List<String> sent = new ArrayList<>();
        for (int number = 0; number < 300; number++) {
            sent.add(String.valueOf(number));
            connection.send("say", String.valueOf(number));
        }
        for (String expected : sent) {
            check(expected.equals(heard.poll(PATIENCE, TimeUnit.SECONDS)), expected);
        }
        connection.stop().blockingAwait();
    }

    private static void streamsBothWays() {
        HubConnection connection = started(token);
        List<Integer> numbers = new ArrayList<>();
        for (int number = 0; number < 2000; number++) {
            numbers.add(number);
        }
        List<Integer> heard = connection.stream(Integer.class, "numbers", 2000, 0).timeout(PATIENCE, TimeUnit.SECONDS).toList().blockingGet();
        check(heard.equals(numbers), "all of them, in order");
        refused(connection.stream(Integer.class, "failAfter", 3).lastOrError(), "enough");
        int first = connection.stream(Integer.class, "numbers", 100_000_000, 0).take(1).blockingSingle();
        check(first == 0, "one, and no more is wanted");
        ReplaySubject<Integer> one = ReplaySubject.create();
        Single<Integer> sum = connection.invoke(Integer.class, "sum", one).cache();
        sum.subscribe(number -> {}, error -> {});
        numbers.subList(0, 100).forEach(one::onNext);
        one.onComplete();
        check(sum.timeout(PATIENCE, TimeUnit.SECONDS).blockingGet() == 4950, "the sum");
        connection.stop().blockingAwait();
    }

    private static void clientResults() {
        HubConnection connection = started(token);
        connection.onWithResult("add", x -> Single.just(x + 1), Integer.class);
        connection.onWithResult("no", x -> Single.error(new IllegalStateException("I cannot.")), Integer.class);
        check(connection.invoke(Integer.class, "askMe", "add", 41).timeout(PATIENCE, TimeUnit.SECONDS).blockingGet() == 42, "a value");
        refused(connection.invoke(Object.class, "askMe", "no", 1), "I cannot.");
        refused(connection.invoke(Object.class, "askMe", "no such method", 1), "Client failed to parse argument(s).");
        connection.stop().blockingAwait();
    }

    private static void closeWithAReason() throws Exception {
        CompletableFuture<String> closed = new CompletableFuture<>();
        HubConnection connection = started(token);
        connection.onClosed(error -> closed.complete(String.valueOf(error)));
        connection.send("quit", "Enough for today.");
        String reason = closed.get(PATIENCE, TimeUnit.SECONDS);
        check(reason.contains("Enough for today."), reason);
    }

    private static void aTokenThatIsRefused() {
        try {
            started(token + "x");
        } catch (RuntimeException refusal) {
            check(refusal.toString().contains("401"), refusal.toString());
            return;
        }
        throw new AssertionError("it was not refused");
    }

    private static HubConnection started(String with) {
        HubConnection connection = HubConnectionBuilder.create(url + "/client/?hub=probe")
            .withTransport(transport)
            .withAccessTokenProvider(Single.just(with))
            .build();
        check(connection.start().blockingAwait(PATIENCE, TimeUnit.SECONDS), "it starts in time");
        return connection;
    }

    private static void refused(Single<?> call, String text) {
        try {
            call.timeout(PATIENCE, TimeUnit.SECONDS).blockingGet();
        } catch (RuntimeException error) {
            check(error.toString().contains(text), error.toString());
            return;
        }
        throw new AssertionError("it was not refused: " + text);
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
