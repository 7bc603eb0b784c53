//! [`Config`]: what many sessions share. Reading certificates takes milliseconds, so the last configurations are kept, by
//! what was asked for and by the age of the files; with them their clients' sessions, which are resumed.

use core::ffi::{CStr, c_char, c_void};
use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::engine::{Failure, Options, Tried};
use crate::verify::Anyone;

/// A configuration.
#[derive(Clone, Debug)]
pub enum Config {
    /// Of clients. `named`: the peer's name matters.
    Client(Arc<ClientConfig>),
    /// Of servers.
    Server(Arc<ServerConfig>),
}

/// How many are kept.
const KEPT: usize = 16;

/// What was asked for, and how old the files are.
#[derive(Clone, PartialEq)]
struct Key {
    server: bool,
    verify: bool,
    texts: [Option<String>; 4],
    files: [Option<[i64; 5]>; 3],
}

static CACHE: Mutex<Vec<(Key, Config)>> = Mutex::new(Vec::new());

fn failed<T>(code: i32, text: impl Display) -> Tried<T> {
    Err(Failure::new(code, format_args!("{text}")))
}

fn invalid<T>(text: impl Display) -> Tried<T> {
    failed(libc::EINVAL, text)
}

unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: NULL or NUL-terminated.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

pub unsafe extern "C" fn configure(options: &Options, failure: &mut Failure) -> *mut c_void {
    // SAFETY: texts of the caller's.
    let texts =
        unsafe { [options.certfile, options.keyfile, options.cafile, options.alpn].map(|it| text(it)) };
    let age = |path: &String| {
        let file = fs::metadata(path).ok()?;
        Some([file.dev() as i64, file.ino() as i64, file.size() as i64, file.mtime(), file.mtime_nsec()])
    };
    let files = [0, 1, 2].map(|file| texts[file].as_ref().and_then(age));
    let key = Key { server: options.server, verify: options.verify, texts, files };
    let known = {
        let cache = CACHE.lock().unwrap_or_else(|cache| cache.into_inner());
        cache.iter().find(|(known, _)| *known == key).map(|(_, config)| config.clone())
    };
    let config = match known.map_or_else(|| make(&key), Ok) {
        Ok(config) => config,
        Err(why) => {
            *failure = *why;
            return core::ptr::null_mut();
        }
    };
    let mut cache = CACHE.lock().unwrap_or_else(|cache| cache.into_inner());
    cache.retain(|(known, _)| *known != key);
    cache.truncate(KEPT - 1);
    cache.insert(0, (key, config.clone()));
    Box::into_raw(Box::new(config)).cast()
}

pub unsafe extern "C" fn release(config: *mut c_void) {
    // SAFETY: made by `configure`.
    drop(unsafe { Box::from_raw(config.cast::<Config>()) });
}

fn make(key: &Key) -> Tried<Config> {
    let provider = Arc::new(ring::default_provider());
    let [certfile, keyfile, cafile, alpn] = &key.texts;
    let own = match certfile {
        Some(certfile) => Some((certificates(certfile)?, private_key(keyfile.as_ref().unwrap_or(certfile))?)),
        None if keyfile.is_some() => return invalid("a keyfile without a certfile"),
        None => None,
    };
    let alpn = protocols(alpn.as_deref())?;
    if key.server {
        let Some((chain, private)) = own else { return invalid("a server needs a certfile") };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .or_else(invalid)?;
        let builder = if key.verify {
            let roots = roots(cafile.as_deref())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.or_else(invalid)?)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, private).or_else(|why| mismatch(certfile, why))?;
        config.alpn_protocols = alpn;
        config.ignore_client_order = true;
        return Ok(Config::Server(Arc::new(config)));
    }
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .or_else(invalid)?;
    let builder = if key.verify {
        let roots = roots(cafile.as_deref())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        builder.with_webpki_verifier(verifier.or_else(invalid)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    };
    let mut config = match own {
        Some((chain, private)) => {
            builder.with_client_auth_cert(chain, private).or_else(|why| mismatch(certfile, why))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn;
    Ok(Config::Client(Arc::new(config)))
}

fn mismatch<T>(certfile: &Option<String>, why: rustls::Error) -> Tried<T> {
    let certfile = certfile.as_deref().unwrap_or_default();
    match why {
        rustls::Error::InconsistentKeys(_) => {
            invalid(format_args!("{certfile}: the key is not that of the certificate"))
        }
        why => invalid(format_args!("{certfile}: {why}")),
    }
}

/// Why a PEM file cannot be read; `what` it should hold.
fn unreadable<T>(path: &str, what: &str, why: pem::Error) -> Tried<T> {
    match why {
        pem::Error::Io(why) => cannot(path, &why),
        pem::Error::NoItemsFound => invalid(format_args!("{path}: no {what} in it")),
        why => invalid(format_args!("{path}: {why}")),
    }
}

fn cannot<T>(path: &str, why: &io::Error) -> Tried<T> {
    failed(why.raw_os_error().unwrap_or(libc::EINVAL), format_args!("{path}: {why}"))
}

fn certificates(path: &str) -> Tried<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).and_then(|all| all.collect::<Result<Vec<_>, _>>());
    match all {
        Ok(all) if all.is_empty() => unreadable(path, "certificate", pem::Error::NoItemsFound),
        Ok(all) => Ok(all),
        Err(why) => unreadable(path, "certificate", why),
    }
}

fn private_key(path: &str) -> Tried<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).or_else(|why| unreadable(path, "unencrypted private key", why))
}

/// Whom to trust.
fn roots(cafile: Option<&str>) -> Tried<Arc<RootCertStore>> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let mut store = RootCertStore::empty();
    let Some(cafile) = cafile else {
        if let Some(system) = SYSTEM.get() {
            return Ok(system.clone());
        }
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |why| format!(": {why}"));
            return failed(
                libc::ENOENT,
                format_args!("the system has no certificate authorities (ca-certificates){why}"),
            );
        }
        return Ok(SYSTEM.get_or_init(|| Arc::new(store)).clone());
    };
    store.add_parsable_certificates(certificates(cafile)?);
    if store.is_empty() {
        return invalid(format_args!("{cafile}: no certificate in it can be understood"));
    }
    Ok(Arc::new(store))
}

/// Words between commas.
fn protocols(alpn: Option<&str>) -> Tried<Vec<Vec<u8>>> {
    let words = alpn.into_iter().flat_map(|alpn| alpn.split(',')).map(str::trim);
    let words: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).collect();
    if words.iter().any(|word| word.is_empty() || word.len() > 255) {
        return invalid("alpn: a protocol's name has 1 to 255 bytes");
    }
    Ok(words)
}
