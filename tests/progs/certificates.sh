# Makes the certificates of tests/tls.rs in the current folder.
set -euo pipefail

curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650)

# leaf NAME KEY SUBJECT NAMES DAYS: a certificate that the authority issues.
leaf() {
    openssl req -new -key "$2" -subj "/CN=$3" -out "$1.csr"
    printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\n' "$4" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$5" -extfile "$1.ext" -out "$1.pem"
}

openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem -subj /CN=authority \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out server.key
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out client.key
leaf server server.key localhost DNS:localhost,IP:127.0.0.1 3650
leaf other server.key other.example DNS:other.example 3650
leaf expired server.key localhost DNS:localhost -1
leaf client client.key someone DNS:someone 3650
openssl req -x509 "${curve[@]}" -keyout self.key -out self.pem -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE
cat server.pem server.key >server.both
