# Drives an interactive shell in tmux: lines, Ctrl-C, Ctrl-Z, bg, fg of the program $1; prints what stood on the terminal,
# without the shell's reports that a job is stopped: it makes them when it notices.
set -u
cd "$(dirname "$1")" || exit
folder=$(mktemp -d)
t() { tmux -S "$folder/socket" -f /dev/null "$@"; }
trap 't kill-server 2>/dev/null; rm -rf "$folder"' EXIT

# Waits for a line that is, trimmed, the given number of times there.
seen() {
    local _
    for _ in {1..400}; do
        [ "$(t capture-pane -p -S - | sed 's/ *$//' | grep -cE -- "$1")" -ge "${2:-1}" ] && return
        sleep 0.05
    done
    echo "never seen: $1"
    t capture-pane -p -S -
    exit 1
}
# Waits for a prompt that nothing was typed at.
prompt() {
    local _
    for _ in {1..400}; do
        [ "$(t capture-pane -p -S - | grep . | tail -n 1 | sed 's/ *$//')" = '>' ] && return
        sleep 0.05
    done
    seen 'never a prompt'
}
# Waits until the program has been stopped.
stops() {
    local _
    for _ in {1..400}; do
        grep -q 'State:.T' "/proc/$(pgrep -s "$(t display-message -p '#{pane_pid}')" -x interactive)/status" && return
        sleep 0.05
    done
    echo 'it never stops'
    exit 1
}
keys() { t send-keys "$@"; }
line() { t send-keys -l "$1"; t send-keys Enter; }

t new-session -d -x 150 -y 100 "env -u PROMPT_COMMAND -u EVENTLET_STATS PS1='> ' BASH_SILENCE_DEPRECATION_WARNING=1 bash --norc --noprofile -i"
prompt
line "./${1##*/}"
seen '^ready'
line 'a line'
seen '^heard <a line>'
keys C-c
seen 'interrupted 1'
keys C-z
seen 'Stopped'
prompt
line 'jobs; echo "status $?"'
seen '^status 0'
prompt
line 'fg'
seen '^continued'
line 'after fg'
seen '^heard <after fg>'
keys C-z
seen 'Stopped' 3
prompt
# In the background its reader stops it again; the shell tells before its prompt or after.
line 'bg'
seen '^\[1\]\+ \./interactive &'
stops
keys Enter
seen 'Stopped' 4
prompt
line 'jobs; echo "background $?"'
seen '^background 0'
prompt
line 'fg'
seen '^\./interactive$' 2
line 'at last'
seen '^heard <at last>'
keys C-d
seen 'end of input'
keys C-c
seen 'interrupted 2'
prompt
line 'echo "ended $?"'
seen '^ended 5'
# Killed by the default action of Ctrl-\ and Ctrl-C.
prompt
line "/usr/bin/python3 -c 'import threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); print(\"up\", flush=True)'"
seen '^up'
keys 'C-\'
prompt
line 'echo "quit $?"'
seen '^quit 131'
prompt
line "sleep 600 | /usr/bin/python3 -c 'import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); print(\"pipe\", flush=True); sys.stdin.read()'"
seen '^pipe'
keys C-c
prompt
line 'echo "pipeline $?"'
seen '^pipeline 130'
# The terminal itself: no echo for a password, its size.
prompt
line "stty -echo; read -r secret; stty echo; echo \"got \$secret\""
sleep 0.2
line 'hidden'
seen '^got hidden'
prompt
line 'stty size'
seen '^100 150'
t capture-pane -p -S - | sed 's/ *$//' | grep -vE '^>?$|Stopped'
prompt
line 'exit 0'
