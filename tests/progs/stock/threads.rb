# Ruby's threads: a time slice each, a lock of its own, queues, condition variables.
require "socket"
require "timeout"

$stdout.sync = true
puts "values #{8.times.map { |i| Thread.new { sleep 0.001; i * i } }.map(&:value)}"

total, lock = 0, Mutex.new
8.times.map { Thread.new { 100.times { lock.synchronize { seen = total; Thread.pass; total = seen + 1 } } } }.each(&:join)
puts "total #{total}"

queue, results = SizedQueue.new(2), Queue.new
consumers = 4.times.map { Thread.new { while (item = queue.pop) != :end; results << item * 2; end } }
100.times { |i| queue << i }
4.times { queue << :end }
consumers.each(&:join)
puts "queue #{100.times.sum { results.pop }}"

changed, turn, said = ConditionVariable.new, 0, []
4.times.map do |me|
  Thread.new do
    5.times do
      lock.synchronize do
        changed.wait(lock) until turn % 4 == me
        said << me
        turn += 1
        changed.broadcast
      end
    end
  end
end.each(&:join)
puts "turns #{said == [0, 1, 2, 3] * 5}"

flag = false # a busy main lets the other in only when its time slice is over
setter = Thread.new { sleep 0.01; flag = true }
nil until flag
setter.join
puts "busy main done"

server = TCPServer.new("127.0.0.1", 0)
echo = Thread.new { 20.times.map { Thread.new(server.accept) { |s| s.each_line { |l| s.write l.upcase }; s.close } }.each(&:join) }
answers = 20.times.map do |i|
  Thread.new do
    TCPSocket.open("127.0.0.1", server.addr[1]) do |s|
      s.puts "hello #{i}"
      s.close_write
      s.read
    end
  end
end.map(&:value)
echo.join
puts "echo #{answers == 20.times.map { |i| "HELLO #{i}\n" }}"

begin
  Timeout.timeout(0.02) { sleep 600 }
rescue Timeout::Error => e
  puts "timeout #{e.message}"
end
failing = Thread.new { raise "on purpose" }
failing.report_on_exception = false
begin
  failing.join
rescue => e
  puts "raised #{e.message}"
end
puts "child #{4.times.map { |i| Thread.new { `echo #{i}`.chomp } }.map(&:value)} #{system('exit 3')} #{$?.exitstatus}"
sleeper = Thread.new { sleep }
sleeper.kill.join
puts "killed #{sleeper.alive?}"
