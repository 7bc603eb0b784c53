# Ruby: an HTTP server with a thread per connection, and Net::HTTP from many threads, by queues.
require "digest"
require "net/http"
require "open3"
require "socket"

$stdout.sync = true
BODIES = 10.times.map { |i| ("%07d" % (i * 1_234_567 % 9_999_991)) * (500 * (i + 1)) }

server = TCPServer.new("127.0.0.1", 0)
port = server.addr[1]
served = Queue.new
acceptor = Thread.new do
  loop do
    Thread.new(server.accept) do |socket|
      while (line = socket.gets)
        verb, path, = line.split
        headers = {}
        while (header = socket.gets) && header != "\r\n"
          name, value = header.split(": ", 2)
          headers[name.downcase] = value.strip
        end
        body = headers["content-length"] && socket.read(headers["content-length"].to_i)
        answer = verb == "POST" ? Digest::SHA256.hexdigest(body) : BODIES[path[1..].to_i]
        socket.write "HTTP/1.1 200 OK\r\nContent-Length: #{answer.bytesize}\r\n\r\n#{answer}"
        served << path
      end
      socket.close
    end
  end
end

jobs = Queue.new
100.times { |i| jobs << i }
jobs.close
right = 20.times.map do
  Thread.new do
    count = 0
    Net::HTTP.start("127.0.0.1", port) do |http|
      while (job = jobs.pop)
        count += 1 if http.get("/#{job % 10}").body == BODIES[job % 10]
        text = "job #{job} " * 2000
        count += 1 if http.post("/post", text).body == Digest::SHA256.hexdigest(text)
      end
    end
    count
  end
end.sum(&:value)
puts "right #{right}, served #{served.size}"

# By name, through the resolver.
names = 4.times.map { Thread.new { Net::HTTP.get_response(URI("http://localhost:#{port}/3")).body == BODIES[3] } }
puts "by name #{names.map(&:value)}"

silent = TCPServer.new("127.0.0.1", 0)
begin
  Net::HTTP.start("127.0.0.1", silent.addr[1], read_timeout: 0.05, max_retries: 0) { |http| http.get("/") }
rescue Net::ReadTimeout => e
  puts "timed out #{e.class}"
end
silent.close
acceptor.kill.join
server.close
begin
  Net::HTTP.get("127.0.0.1", "/", port)
rescue SystemCallError => e
  puts "refused #{e.class}"
end

# Children from threads, and what a thread reads of them.
outputs = 4.times.map { |i| Thread.new { Open3.capture3("tr a-z A-Z; echo err >&2; exit #{i}", stdin_data: "text #{i}\n") } }
outputs.map(&:value).each { |out, err, status| puts "#{out.chomp} #{err.chomp} #{status.exitstatus}" }
read, write = IO.pipe
writer = Thread.new { 1000.times { |i| write.puts i }; write.close }
puts "pipe #{read.each_line.sum(&:to_i)}"
writer.join
# A trap that wakes the main thread, sent by another.
got = Queue.new
trap("USR1") { got << "usr1" }
Thread.new { Process.kill("USR1", Process.pid) }.join
puts "trap #{got.pop}"
exit 0
