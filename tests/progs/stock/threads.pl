# Perl's ithreads: each thread is a copy of the interpreter.
use strict;
use warnings;
use threads;
use threads::shared;
use Thread::Queue;
use Time::HiRes qw(time);

$| = 1;
my $total : shared = 0;
my @workers = map { my $me = $_; threads->create(sub { for (1 .. 100) { lock $total; $total += $me } $me * $me }) } 1 .. 8;
print "results ", join(" ", map { $_->join } @workers), " total $total\n";

my ($jobs, $done) = (Thread::Queue->new, Thread::Queue->new);
@workers = map { threads->create(sub { while (defined(my $job = $jobs->dequeue)) { $done->enqueue($job * 2) } }) } 1 .. 4;
$jobs->enqueue($_) for 1 .. 100;
$jobs->end;
$_->join for @workers;
$done->end;
my $sum = 0;
while (defined(my $item = $done->dequeue)) { $sum += $item }
print "queue $sum\n";

my $turn : shared = 0;
@workers = map {
    my $me = $_;
    threads->create(sub {
        for (1 .. 5) {
            lock $turn;
            cond_wait($turn) while $turn % 4 != $me;
            print "turn $me\n";
            $turn++;
            cond_broadcast($turn);
        }
    })
} 0 .. 3;
$_->join for @workers;
{
    lock $total;
    print "timed out\n" unless cond_timedwait($total, time + 0.01);
}
my $failing = threads->create(sub { die "on purpose\n" });
$failing->join;
print "error ", $failing->error;
