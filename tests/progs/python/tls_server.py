# A TLS server that sends back what it gets, but zeros, in upper case: FOLDER CLIENTS. It ends its side when the client has.
import socket
import ssl
import sys

folder, clients = sys.argv[1], int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
context.set_alpn_protocols(["h2"])
listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
for _ in range(clients):
    plain = listener.accept()[0]
    try:
        client = context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
    except ssl.SSLError:
        print("no handshake", flush=True)
        continue
    total = 0
    try:
        while data := client.recv(65536):
            total += len(data)
            if data[0]:
                client.sendall(data.upper())
        end = "the end"
    except ssl.SSLEOFError:
        end = "no end"
    print(f"{total} bytes, then {end}", flush=True)
    try:
        client.unwrap()
    except (OSError, ValueError):
        pass
    client.close()
