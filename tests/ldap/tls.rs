//! Look-ups under TLS, with the certificate checked.

use msgstore::directory::ldap::Encryption;
use msgstore::directory::{Directory, Home};

use super::slapd::Slapd;
use super::{data, options, settings};

#[test]
fn certificates_are_checked() {
    let Some(mut slapd) = Slapd::start(&data(), "") else { return };
    slapd.stop();
    let own = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let (certificate, key) = own(&["localhost", "127.0.0.1"]);
    let files = [("cert.pem", &certificate), ("key.pem", &key), ("other.pem", &own(&["localhost"]).0)];
    for (name, text) in files {
        std::fs::write(slapd.path(name), text).unwrap();
    }
    let path = |name: &str| slapd.path(name).display().to_string();
    let lines = format!("TLSCertificateFile {}\nTLSCertificateKeyFile {}", path("cert.pem"), path("key.pem"));
    slapd.configure(&lines, "security tls=1");
    let secure = slapd.run_with_tls();
    let ask = |slapd: &Slapd, encryption, port: u16, host: &str, file: &str| {
        let mut settings = settings(slapd, None);
        settings.encryption = encryption;
        settings.hosts = vec![format!("{host}:{port}")];
        settings.ca_file = slapd.path(file);
        Directory::ldap(settings, options()).lookup("joe").map_err(|error| error.to_string())
    };
    for host in ["127.0.0.1", "localhost"] {
        for (encryption, port) in [(Encryption::Tls, secure), (Encryption::StartTls, slapd.port)] {
            assert!(
                matches!(ask(&slapd, encryption, port, host, "cert.pem"), Ok(Home::Here(_))),
                "{:?}",
                ask(&slapd, encryption, port, host, "cert.pem")
            );
            let error = ask(&slapd, encryption, port, host, "other.pem").unwrap_err();
            assert!(error.contains("certificate"), "{error}");
            let error = ask(&slapd, encryption, port, host, "missing.pem").unwrap_err();
            assert!(error.contains("local.ugldapcafile"), "{error}");
        }
    }
    // A file that was wrong is read again, and a certificate in it that nobody understands forbids no other.
    let mut mended = settings(&slapd, None);
    (mended.encryption, mended.ca_file) = (Encryption::StartTls, slapd.path("mended.pem"));
    let mended = Directory::ldap(mended, options());
    assert!(mended.lookup("joe").is_err());
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(slapd.path("mended.pem"), odd).unwrap();
    assert!(mended.lookup("joe").unwrap_err().to_string().contains("there is none"));
    std::fs::write(slapd.path("mended.pem"), format!("{odd}{certificate}")).unwrap();
    assert!(matches!(mended.lookup("joe"), Ok(Home::Here(_))));
    // The server insists; nobody falls back to plain text.
    let error = ask(&slapd, Encryption::None, slapd.port, "127.0.0.1", "cert.pem").unwrap_err();
    assert!(error.contains("TLS"), "{error}");
    assert!(ask(&slapd, Encryption::Tls, slapd.port, "127.0.0.1", "cert.pem").is_err());
    slapd.stop();
    slapd.configure("", "");
    slapd.run();
    assert!(ask(&slapd, Encryption::StartTls, slapd.port, "127.0.0.1", "cert.pem").is_err());
}
