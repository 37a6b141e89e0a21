//! TLS of the services: certificate and key from PEM files, TLS 1.2 and 1.3 only. Source: RFC 8446, RFC 5246, RFC 8314; ALPN names of RFC 7301.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedCipherSuite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Conf;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It is switched off, or was never set up.
    #[error("nsserversecurity is off, or there is no certificate (encryption.nscertfile)")]
    Off,
    /// A file cannot be used.
    #[error("{what} {} cannot be used: {why}", path.display())]
    File {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate and key are there and do not go together, or of a kind that is not known.
    #[error("certificate {} and key {} cannot be used: {why}", certificate.display(), key.display())]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
}

/// What makes TLS of connections. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl Tls {
    /// What the settings `encryption.nscertfile` and `encryption.nskeyfile` name; `protocol`: the ALPN name of the service, empty where there is none.
    /// `None`: `nsserversecurity` is off, or TLS was never set up: nobody has named files, and there are none.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn of(conf: &Conf, protocol: &str) -> Result<Option<Tls>, TlsError> {
        if !conf.bool("nsserversecurity") {
            return Ok(None);
        }
        let names = ["encryption.nscertfile", "encryption.nskeyfile"];
        let [certificate, key] = names.map(|name| conf.path(name));
        let absent =
            |path: &Path| std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if absent(&certificate) && absent(&key) && !names.iter().any(|name| conf.explicit(name)) {
            return Ok(None);
        }
        Tls::load(&certificate, &key, protocol).map(Some)
    }

    fn load(certificate: &Path, key: &Path, protocol: &str) -> Result<Tls, TlsError> {
        let file = |what, path: &Path, why: String| TlsError::File { what, path: path.to_path_buf(), why };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| file("certificate", certificate, words(&error)))?;
        if chain.is_empty() {
            return Err(file("certificate", certificate, "there is no certificate in it".to_owned()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| file("key", key, words(&error)))?;
        let pair = |why| TlsError::Pair { certificate: certificate.to_path_buf(), key: key.to_path_buf(), why };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(pair)?;
        if !protocol.is_empty() {
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        }
        if let Ok(tickets) = rustls::crypto::ring::Ticketer::new() {
            // Sessions are taken up again without memory for each.
            config.ticketer = tickets;
        }
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Makes TLS of a connection; also the bits of the key that its bulk cipher uses.
    ///
    /// # Errors
    /// What the client or the network did.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Box<TlsStream<TcpStream>>, u16)> {
        let stream = self.acceptor.accept(stream).await?;
        let bits = stream.get_ref().1.negotiated_cipher_suite().map_or(0, bits);
        Ok((Box::new(stream), bits))
    }
}

/// What is wrong with a PEM file.
fn words(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "there is none in it (PEM is wanted)".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The length of the key of a cipher suite. All of them are AES or ChaCha20 with an AEAD mode.
fn bits(suite: SupportedCipherSuite) -> u16 {
    let name = format!("{:?}", suite.suite());
    if name.contains("AES_128") || name.contains("AES128") { 128 } else { 256 }
}
