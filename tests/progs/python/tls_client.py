# Talks to a TLS server that sends back what it gets in upper case: FOLDER PORT.
import socket
import ssl
import sys

folder, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
context.set_alpn_protocols(["http/1.1"])
sent = b"abcdefghij" * 20000
with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as client:
    got = b""
    # In turns: one connection of Python's ssl is not for two threads at once.
    for start in range(0, len(sent), 20000):
        client.sendall(sent[start : start + 20000])
        while len(got) < start + 20000:
            got += client.recv(65536)
    assert got == sent.upper()
    alpn = client.selected_alpn_protocol()
    client.unwrap()
    print(f"{len(got)} bytes back, {alpn}, unwrapped", flush=True)
try:
    strict = ssl.create_default_context(cafile=f"{folder}/self.pem")
    strict.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
except ssl.SSLCertVerificationError as error:
    print("refused:", "certificate verify failed" if "certificate verify failed" in str(error) else error)
