# Perl's ithreads over sockets: a server with a thread per connection, its clients in threads, a pool behind a queue.
use strict;
use warnings;
use threads;
use threads::shared;
use Thread::Queue;
use IO::Socket::INET;
use IO::Select;

$| = 1;
my $clients = 12;
my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 64) or die "listen: $!";
my $port = $listener->sockport;

sub serve {
    my $socket = shift;
    while (defined(my $line = <$socket>)) {
        chomp $line;
        print $socket scalar(reverse $line), "\n";
        $socket->flush;
    }
    return "done";
}
my $acceptor = threads->create(sub {
    my @serving = map { my $socket = $listener->accept or die "accept: $!"; threads->create(\&serve, $socket) } 1 .. $clients;
    return join " ", map { $_->join } @serving;
});
my @asking = map {
    my $me = $_;
    threads->create(sub {
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "connect: $!";
        my $right = 0;
        for my $turn (1 .. 20) {
            my $word = "client $me turn $turn";
            print $socket "$word\n";
            $socket->flush;
            my $answer = <$socket>;
            $right++ if $answer eq reverse($word) . "\n";
        }
        $socket->shutdown(1);
        return "$me:$right:" . (defined(<$socket>) ? "more" : "end");
    })
} 1 .. $clients;
print "clients ", join(" ", map { $_->join } @asking), "\n";
print "server ", $acceptor->join, "\n";

# Jobs for a pool: each asks a pipe of its own, with a limit that is not reached.
my ($jobs, $results) = (Thread::Queue->new(1 .. 40), Thread::Queue->new);
$jobs->limit = 50;
$jobs->end;
my @pool = map {
    threads->create(sub {
        while (defined(my $job = $jobs->dequeue)) {
            pipe(my $read, my $write) or die "pipe: $!";
            my $writer = threads->create(sub { select undef, undef, undef, 0.001; syswrite $write, "$job\n" });
            die "nothing to read" unless IO::Select->new($read)->can_read(20);
            chomp(my $line = <$read>);
            $writer->join;
            $results->enqueue($line * $line);
        }
    })
} 1 .. 4;
$_->join for @pool;
my $sum = 0;
$sum += $results->dequeue_nb for 1 .. 40;
print "pool $sum, ", ($results->dequeue_timed(0.01) // "nothing"), " left\n";

# Children from threads, and a signal from one thread for another.
print "children ", join(" ", map { $_->join } map { my $me = $_; threads->create(sub { my $out = `echo child $me`; chomp $out; $out }) } 1 .. 4), "\n";
my $started = Thread::Queue->new;
my $sleeper = threads->create(sub {
    local $SIG{KILL} = sub { threads->exit };
    $started->enqueue(1);
    select undef, undef, undef, 0.001 while 1;
});
$started->dequeue;
$sleeper->kill("KILL")->join;
print "killed\n";
exit 0;
