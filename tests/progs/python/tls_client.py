# Talks to a TLS server that sends back what it gets in upper case: FOLDER PORT.
import socket
import ssl
import sys
import threading

folder, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
context.set_alpn_protocols(["http/1.1"])
sent = b"abcdefghij" * 20000
with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as client:
    writer = threading.Thread(target=client.sendall, args=(sent,))
    writer.start()
    got = b""
    while len(got) < len(sent):
        got += client.recv(65536)
    writer.join()
    assert got == sent.upper()
    alpn = client.selected_alpn_protocol()
    client.unwrap()
    print(f"{len(got)} bytes back, {alpn}, unwrapped", flush=True)
try:
    strict = ssl.create_default_context(cafile=f"{folder}/self.pem")
    strict.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
except ssl.SSLCertVerificationError as error:
    print("refused:", "certificate verify failed" if "certificate verify failed" in str(error) else error)
