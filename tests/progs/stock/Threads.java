import java.util.ArrayList;
import java.util.Collections;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;

/** Threads of a runtime with its own scheduler: the library lets them be. */
public class Threads {
    public static void main(String[] args) throws Exception {
        var gate = new CountDownLatch(8);
        var seen = new ConcurrentLinkedQueue<Integer>();
        var threads = new ArrayList<Thread>();
        for (int i = 0; i < 8; i++) {
            int me = i;
            var thread = new Thread(() -> {
                gate.countDown();
                try {
                    gate.await();
                    Thread.sleep(1);
                } catch (InterruptedException error) {
                    throw new RuntimeException(error);
                }
                seen.add(me);
            });
            thread.start();
            threads.add(thread);
        }
        for (var thread : threads) {
            thread.join();
        }
        System.out.println(seen.stream().sorted().toList());
        var pool = Executors.newFixedThreadPool(4);
        int sum = 0;
        for (var future : pool.invokeAll(Collections.<Callable<Integer>>nCopies(20, () -> 2))) {
            sum += future.get();
        }
        pool.shutdown();
        System.out.println(sum);
        System.exit(3);
    }
}
