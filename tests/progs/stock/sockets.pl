# A fork-per-connection server and its client: single-threaded, so the library stays out of it.
use strict;
use warnings;
use IO::Socket::INET;
use Time::HiRes qw(ualarm);

$| = 1;
my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", ReuseAddr => 1) or die "listen: $!";
my $server = fork // die "fork: $!";
if (!$server) {
    my $sum = 0;
    for (1 .. 3) {
        my $client = $listener->accept or die "accept: $!";
        my $child = fork // die "fork: $!";
        if (!$child) {
            print $client uc while <$client>;
            exit 4;
        }
        close $client;
        waitpid $child, 0;
        $sum += $? >> 8;
    }
    exit $sum;
}
for my $me (1 .. 3) {
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $listener->sockport) or die "connect: $!";
    print $socket "line $_ of $me\n" for 1 .. 3;
    shutdown $socket, 1;
    print "got $_" while <$socket>;
}
waitpid $server, 0;
print "server ", $? >> 8, "\n";

my $alarms = 0;
$SIG{ALRM} = sub { $alarms++ };
ualarm 10_000;
my $left = select undef, undef, undef, 60;
print "select $left ", $!{EINTR} ? "interrupted" : $!, " $alarms\n";
pipe my $reader, my $writer or die "pipe: $!";
my $ready = '';
vec($ready, fileno $reader, 1) = 1;
print "select ", scalar select(my $copy = $ready, undef, undef, 0.01), "\n";
print "status ", system("sh", "-c", "exit 5") >> 8, " ", `echo from a child`;
