//! TLS of imapd: STARTTLS, the port with TLS, certificates that change, who may send a password; and SCRAM. The client is rustls, which believes in
//! the certificate that `configure` has made and in no other.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::imap::{Client, PATIENCE};
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

/// A client under TLS.
pub struct Secure {
    reader: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    count: u32,
}

/// What a client offers and believes in.
pub struct Offer<'a> {
    trust: &'a Path,
    versions: &'a [&'static SupportedProtocolVersion],
    suite: Option<CipherSuite>,
    alpn: &'a [&'a str],
}

impl<'a> Offer<'a> {
    pub fn of(trust: &'a Path) -> Offer<'a> {
        Offer { trust, versions: rustls::ALL_VERSIONS, suite: None, alpn: &[] }
    }

    /// Takes the connection under TLS.
    pub fn secure(&self, stream: TcpStream) -> Result<Secure, std::io::Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.trust).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.retain(|suite| self.suite.is_none_or(|wanted| suite.suite() == wanted));
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = stream;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Secure { reader: BufReader::new(StreamOwned::new(connection, stream)), count: 0 })
    }
}

impl Secure {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let stream = self.reader.get_mut();
        stream.write_all(bytes.as_ref()).unwrap();
        stream.flush().unwrap();
    }

    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        String::from_utf8(line).unwrap().trim_end_matches("\r\n").to_owned()
    }

    fn ask(&mut self, command: &str) -> Vec<String> {
        self.count += 1;
        let tag = format!("s{}", self.count);
        self.send(format!("{tag} {command}\r\n"));
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty() || !lines.is_empty(), "the connection is closed");
            match line.strip_prefix(&format!("{tag} ")) {
                Some(rest) => {
                    lines.push(rest.to_owned());
                    return lines;
                }
                None => lines.push(line),
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The certificate that the server showed.
    fn certificate(&self) -> Vec<u8> {
        self.reader.get_ref().conn.peer_certificates().unwrap()[0].to_vec()
    }
}

fn certificate(it: &Instance) -> std::path::PathBuf {
    it.base().join("config/server.crt")
}

fn set(it: &Instance, name: &str, value: &str) {
    it.run("configutil", &["-o", name, "-v", value]).ended(0);
}

/// A plain connection that goes on under TLS.
fn starttls(it: &Instance, imapd: &Imapd) -> Secure {
    let mut client = imapd.connect();
    assert_eq!(client.ask("starttls"), ["OK Begin TLS negotiation now"]);
    Offer::of(&certificate(it)).secure(client.stream).unwrap()
}

/// A connection to the port with TLS.
fn implicit(it: &Instance, trust: &Path) -> Result<Secure, std::io::Error> {
    Offer::of(trust).secure(TcpStream::connect(("127.0.0.1", tls_port(it))).unwrap())
}

fn tls_port(it: &Instance) -> u16 {
    let file = it.base().join("data/proc/imaps.port");
    let begun = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(&file) {
            return text.trim().parse().unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "there is no port with TLS");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn log(it: &Instance) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(it.base().join("data/log")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("imap") {
            all += &String::from_utf8_lossy(&std::fs::read(path).unwrap());
        }
    }
    all
}

/// Makes imapd read its settings again, and waits until it says that it has, as often as it was asked.
fn refresh(it: &Instance, imapd: &Imapd, times: usize) {
    msgstore::os::process::tell(imapd.pid(), msgstore::os::process::Order::Refresh).unwrap();
    let begun = Instant::now();
    while log(it).matches("has read the configuration again").count() < times {
        assert!(begun.elapsed() < PATIENCE, "no refresh: {}", log(it));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn starttls_changes_what_may_be_said() {
    let it = Instance::with(&[("service.imap.plaintextmincipher", "128")]);
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let mut plain = imapd.connect();
    let before = plain.ask("capability").remove(0);
    assert!(before.contains(" STARTTLS") && before.contains(" LOGINDISABLED"), "{before}");
    assert!(!before.contains("AUTH=PLAIN") && before.contains("AUTH=SCRAM-SHA-256"), "{before}");
    assert_eq!(plain.ask("login joe secret"), ["NO [PRIVACYREQUIRED] Login in the clear is disabled"]);
    assert_eq!(plain.ask("authenticate login"), ["NO [PRIVACYREQUIRED] Login in the clear is disabled"]);
    assert_eq!(plain.ask("starttls now"), ["BAD Unexpected extra arguments to Starttls"]);
    assert_eq!(plain.ask("starttls"), ["OK Begin TLS negotiation now"]);
    let mut client = Offer::of(&certificate(&it)).secure(plain.stream).unwrap();
    let after = client.ask("capability").remove(0);
    assert!(!after.contains("STARTTLS") && !after.contains("LOGINDISABLED"), "{after}");
    assert!(after.contains(" AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256"), "{after}");
    assert_eq!(client.ask("starttls"), ["BAD TLS is active already"]);
    assert_eq!(client.ask("login joe secret"), ["OK User logged in"]);
    assert_eq!(client.ask("starttls"), ["BAD Already logged in"]);
    assert_eq!(client.ask("logout"), ["* BYE LOGOUT received", "OK Completed"]);
    assert_eq!(client.line(), "", "the end is a TLS one (close_notify), else this is an error");
}

/// RFC 4978 section 4: compression above TLS.
#[test]
fn compression_goes_through_tls() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let mut client = starttls(&it, &imapd);
    assert_eq!(client.ask("login joe secret"), ["OK User logged in"]);
    assert_eq!(client.ask("compress deflate"), ["OK DEFLATE is active"]);
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut inside = BufReader::new(flate2::bufread::DeflateDecoder::new(client.reader));
    let message = format!("Subject: large\r\n\r\n{}", "0123456789abcdef\r\n".repeat(20_000));
    let commands = [
        format!("a append inbox {{{}+}}\r\n{message}\r\n", message.len()),
        "b status inbox (messages)\r\n".to_owned(),
        "c logout\r\n".to_owned(),
    ];
    let expected: [&[&str]; 3] = [
        &["a OK [APPENDUID "],
        &["* STATUS \"INBOX\" (MESSAGES 1)", "b OK Completed"],
        &["* BYE LOGOUT received", "c OK Completed"],
    ];
    for (command, answers) in commands.iter().zip(expected) {
        encoder.write_all(command.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let below = inside.get_mut().get_mut().get_mut();
        below.write_all(&std::mem::take(encoder.get_mut())).unwrap();
        below.flush().unwrap();
        for answer in answers {
            let mut line = String::new();
            inside.read_line(&mut line).unwrap();
            assert!(line.starts_with(answer), "{line}");
        }
    }
}

#[test]
fn nothing_behind_starttls_is_listened_to() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let mut client = imapd.connect();
    client.send("a starttls\r\nb login joe secret\r\nc create injected\r\n");
    assert_eq!(client.line(), "a OK Begin TLS negotiation now");
    let mut client = Offer::of(&certificate(&it)).secure(client.stream).unwrap();
    assert_eq!(client.ask("noop"), ["OK Completed"]);
    assert_eq!(client.ask("create x"), ["BAD Please login first"]);
    // The beginning of a command before TLS is not completed behind it.
    let mut client = imapd.connect();
    client.send("a starttls\r\nb login joe ");
    assert_eq!(client.line(), "a OK Begin TLS negotiation now");
    let mut client = Offer::of(&certificate(&it)).secure(client.stream).unwrap();
    assert_eq!(client.ask("secret"), ["BAD Unrecognized command"]);
    assert!(log(&it).contains("in the clear behind STARTTLS; they are ignored"), "{}", log(&it));
}

#[test]
fn a_proxy_says_who_the_client_is_before_tls() {
    let it = Instance::with(&[
        ("service.imap.enablesslport", "yes"),
        ("service.imap.sslport", "0"),
        ("service.proxyprotocol.networks", "127.0.0.1"),
        ("service.imap.domainnotallowed", "imap: 192.0.2.66"),
    ]);
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let through = |header: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", tls_port(&it))).unwrap();
        stream.write_all(header).unwrap();
        Offer::of(&certificate(&it)).secure(stream)
    };
    for header in [
        &b"PROXY TCP4 192.0.2.7 127.0.0.1 7 993\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\x02\x07\x7f\0\0\x01\0\x07\x03\xe1\x04\0\0",
    ] {
        let mut client = through(header).unwrap();
        assert!(client.line().starts_with("* OK "));
        assert_eq!(client.ask("login joe wrong"), ["NO [AUTHENTICATIONFAILED] Login failed: authentication failure"]);
        assert_eq!(client.ask("login joe secret"), ["OK User logged in"]);
    }
    let log = std::fs::read_to_string(it.base().join("data/log/imap")).unwrap();
    assert_eq!(log.matches("badlogin: [192.0.2.7:7] plaintext joe").count(), 2, "{log}");
    assert!(through(b"PROXY TCP4 192.0.2.66 127.0.0.1 7 993\r\n").is_err());
    assert!(through(b"").is_err());
    imapd.stop();
}

#[test]
pub fn a_whole_session_on_the_port_with_tls() {
    let it = Instance::with(&[("service.imap.enablesslport", "yes"), ("service.imap.sslport", "0")]);
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let mut client = implicit(&it, &certificate(&it)).unwrap();
    assert!(client.line().starts_with("* OK "));
    let capability = client.ask("capability").remove(0);
    assert!(!capability.contains("STARTTLS") && capability.contains("AUTH=PLAIN"), "{capability}");
    assert_eq!(client.ask("login joe secret"), ["OK User logged in"]);
    let line = "0123456789abcdef".repeat(4) + "\r\n";
    let message = format!("Subject: large\r\n\r\n{}", line.repeat(80_000));
    client.send(format!("a append inbox {{{}}}\r\n", message.len()));
    assert_eq!(client.line(), "+ go ahead");
    client.send(format!("{message}\r\n"));
    assert!(client.line().starts_with("a OK [APPENDUID "));
    client.ask("select inbox");
    client.send("b fetch 1 body.peek[]\r\n");
    assert_eq!(client.line(), format!("* 1 FETCH (BODY[] {{{}}}", message.len()));
    assert!(client.bytes(message.len()) == message.as_bytes());
    assert_eq!((client.line(), client.line()), (")".to_owned(), "b OK Completed".to_owned()));
    client.send("c idle\r\n");
    assert_eq!(client.line(), "+ idling");
    it.append("user/joe/INBOX", "Subject: new\r\n\r\n", msgstore::store::Flags::NONE);
    assert_eq!(client.line(), "* 2 EXISTS");
    // Somebody who talks in the clear, and somebody who says nothing, do no harm to the others.
    let mut stranger = TcpStream::connect(("127.0.0.1", tls_port(&it))).unwrap();
    stranger.write_all(b"a login joe secret\r\n").unwrap();
    let mut heard = Vec::new();
    stranger.read_to_end(&mut heard).unwrap();
    assert!(!heard.windows(2).any(|pair| pair == b"OK"), "{heard:?}");
    let _silent = TcpStream::connect(("127.0.0.1", tls_port(&it))).unwrap();
    client.send("done\r\n");
    let rest = std::iter::from_fn(|| Some(client.line())).find(|line| line.starts_with("c "));
    assert_eq!(rest.unwrap(), "c OK Completed");
    // The plain port is there as well.
    assert_eq!(imapd.login("joe").ask("noop"), ["OK Completed"]);
}

#[test]
fn tls_1_2_is_spoken_older_versions_and_other_protocols_are_not() {
    let it = Instance::with(&[("service.imap.enablesslport", "yes"), ("service.imap.sslport", "0")]);
    let imapd = Imapd::start(&it);
    let trust = certificate(&it);
    let dial = || TcpStream::connect(("127.0.0.1", tls_port(&it))).unwrap();
    let old = Offer { versions: &[&rustls::version::TLS12], ..Offer::of(&trust) };
    assert!(old.secure(dial()).unwrap().line().starts_with("* OK "));
    let imap = Offer { alpn: &["imap"], ..Offer::of(&trust) };
    assert!(imap.secure(dial()).unwrap().line().starts_with("* OK "));
    // A browser that was led here (RFC 7301 section 3.2).
    assert!(Offer { alpn: &["http/1.1"], ..Offer::of(&trust) }.secure(dial()).is_err());
    // The hello of a client that knows TLS 1.1 at most: one suite, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let mut stream = dial();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&hello).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!((heard.first(), heard.len()), (Some(&0x15), 7), "an alert and no more: {heard:?}");
    drop(imapd);
}

#[test]
fn a_password_wants_a_key_that_is_long_enough() {
    let it = Instance::with(&[("service.imap.plaintextmincipher", "256")]);
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let trust = certificate(&it);
    for (suite, allowed) in
        [(CipherSuite::TLS13_AES_128_GCM_SHA256, false), (CipherSuite::TLS13_AES_256_GCM_SHA384, true)]
    {
        let mut plain = imapd.connect();
        plain.ask("starttls");
        let offer = Offer { suite: Some(suite), ..Offer::of(&trust) };
        let mut client = offer.secure(plain.stream).unwrap();
        assert_eq!(client.ask("login joe secret")[0].starts_with("OK"), allowed, "{suite:?}");
    }
}

#[test]
pub fn a_certificate_is_changed_under_running_sessions() {
    let it = Instance::with(&[("service.imap.enablesslport", "yes"), ("service.imap.sslport", "0")]);
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let old = certificate(&it);
    let mut before = implicit(&it, &old).unwrap();
    before.line();
    let made = msgstore::ops::certificate::self_signed("mail.example.org", None, None, 1_794_995_200).unwrap();
    let (new, key) = (it.base().join("config/new.pem"), it.base().join("config/new.key"));
    std::fs::write(&new, format!("leading words\n{}", made.certificate)).unwrap();
    std::fs::write(&key, made.key).unwrap();
    set(&it, "encryption.nscertfile", new.to_str().unwrap());
    // Certificate and key do not go together: the old ones stay.
    refresh(&it, &imapd, 1);
    assert!(log(&it).contains("cannot be used"), "{}", log(&it));
    assert_eq!(implicit(&it, &old).unwrap().certificate(), before.certificate());
    set(&it, "encryption.nskeyfile", "config/new.key");
    refresh(&it, &imapd, 2);
    assert!(implicit(&it, &old).is_err());
    let mut after = implicit(&it, &new).unwrap();
    assert_ne!(after.certificate(), before.certificate());
    assert!(after.line().starts_with("* OK ") && before.ask("noop") == ["OK Completed"]);
    // Also in the files that are named already.
    std::fs::copy(&old, &new).unwrap();
    std::fs::copy(it.base().join("config/server.key"), &key).unwrap();
    refresh(&it, &imapd, 3);
    assert_eq!(implicit(&it, &old).unwrap().certificate(), before.certificate());
}

#[test]
pub fn tls_can_be_switched_off_and_cannot_be_had_without_a_certificate() {
    let it = Instance::with(&[("service.imap.sslusessl", "no")]);
    let imapd = Imapd::start(&it);
    let offered = |client: &mut Client| client.ask("capability").remove(0).contains("STARTTLS");
    assert!(!offered(&mut imapd.connect()));
    assert_eq!(imapd.connect().ask("starttls"), ["BAD STARTTLS is not available"]);
    set(&it, "service.imap.sslusessl", "yes");
    refresh(&it, &imapd, 1);
    assert!(offered(&mut imapd.connect()));
    set(&it, "nsserversecurity", "no");
    refresh(&it, &imapd, 2);
    assert!(!offered(&mut imapd.connect()));
    imapd.stop();
    let failing = |settings: &[(&str, &str)], why: &str| {
        for (name, value) in settings {
            set(&it, name, value);
        }
        let (_, said) = it.run("imapd", &[]).ended(78);
        assert!(said.contains(why), "{said}");
    };
    failing(
        &[("service.imap.enablesslport", "yes"), ("service.imap.sslport", "0")],
        "service.imap.enablesslport is on, and nsserversecurity is off",
    );
    let bad = it.base().join("config/bad");
    std::fs::write(&bad, "no PEM\n").unwrap();
    failing(&[("nsserversecurity", "yes"), ("encryption.nskeyfile", "config/bad")], "config/bad cannot be used");
    failing(&[("encryption.nscertfile", "config/none")], "config/none cannot be used");
    // Without the port the service starts, and says in its log that there is no TLS.
    set(&it, "service.imap.enablesslport", "no");
    let imapd = Imapd::start(&it);
    assert!(!offered(&mut imapd.connect()));
    assert!(log(&it).contains("no TLS: certificate"), "{}", log(&it));
}

/// The client's side of SCRAM-SHA-256 over a connection; the tagged answer.
fn scram(ask: &mut dyn FnMut(&str) -> String, authzid: &str, user: &str, password: &str) -> String {
    let header = if authzid.is_empty() { "n,,".to_owned() } else { format!("n,a={authzid},") };
    let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
    let first = ask(&format!("a authenticate scram-sha-256 {}", STANDARD.encode(format!("{header}{bare}"))));
    let Some(challenge) = first.strip_prefix("+ ") else { return first };
    let challenge = String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap();
    let field = |name: &str| {
        challenge.split(',').find_map(|field| field.strip_prefix(name)).unwrap_or_else(|| panic!("{challenge}"))
    };
    let (nonce, salt, passes) = (field("r="), STANDARD.decode(field("s=")).unwrap(), field("i="));
    assert!(nonce.len() > 24 && nonce.starts_with("fyko+d2lbbFgONRv9qkxdawL"));
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, passes.parse().unwrap(), &salt, password.as_bytes(), &mut salted);
    let sign = |key: &[u8], message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let without = format!("c={},r={nonce}", STANDARD.encode(&header));
    let message = format!("{bare},{challenge},{without}");
    let signature = sign(stored_key.as_ref(), message.as_bytes());
    let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    let second = ask(&STANDARD.encode(format!("{without},p={}", STANDARD.encode(proof))));
    let Some(last) = second.strip_prefix("+ ") else { return second };
    let server_key = sign(&salted, b"Server Key");
    let expected = format!("v={}", STANDARD.encode(sign(server_key.as_ref(), message.as_bytes())));
    assert_eq!(String::from_utf8(STANDARD.decode(last).unwrap()).unwrap(), expected, "the server knows the password");
    ask("")
}

#[test]
fn scram_lets_in_who_knows_the_password() {
    let it = Instance::with(&[("service.imap.plaintextmincipher", "-1"), ("store.admins", "boss")]);
    it.accounts(&["joe", "boss"]);
    let imapd = Imapd::start(&it);
    let login = |authzid: &str, user: &str, password: &str| {
        let mut client = imapd.connect();
        let answer = scram(
            &mut |line| {
                client.send(format!("{line}\r\n"));
                client.line()
            },
            authzid,
            user,
            password,
        );
        (answer, client)
    };
    let ok = "a OK User logged in";
    let no = "a NO [AUTHENTICATIONFAILED] Login failed: authentication failure";
    for (authzid, user, password, expected) in [
        ("", "joe", "secret", ok),
        ("", "joe@example.org", "secret", ok),
        ("joe", "joe", "secret", ok),
        ("joe", "boss", "secret", ok),
        ("", "joe", "secreu", no),
        ("", "nobody", "secret", no),
        ("boss", "joe", "secret", no),
        ("nobody", "boss", "secret", no),
        ("", "", "secret", "a BAD Invalid response"),
    ] {
        assert_eq!(login(authzid, user, password).0, expected, "{user} for {authzid:?}");
    }
    let (_, mut client) = login("joe", "boss", "secret");
    assert!(client.ask("create by-proxy")[0].starts_with("OK [MAILBOXID (F"));
    assert!(it.run("mboxutil", &["-l", "-s"]).ok().contains("user/joe/by-proxy\n"));
    // A new password is the only one.
    it.run_with("user", &["passwd", "joe"], "better\n").ended(0);
    assert_eq!((login("", "joe", "secret").0.as_str(), login("", "joe", "better").0.as_str()), (no, ok));
    // It is not offered once somebody has a password and no keys.
    let directory = it.base().join("config/directory.ldif");
    let mut text = std::fs::read_to_string(&directory).unwrap();
    text += "\ndn: uid=old,dc=example,dc=org\nuid: old\nuserPassword: {SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
    std::fs::write(&directory, text).unwrap();
    assert_eq!(login("", "joe", "secret").0, no);
    let capability = imapd.connect().ask("capability").remove(0);
    assert!(!capability.contains("SCRAM"), "{capability}");
    assert_eq!(login("", "joe", "better").0, ok);
}

#[test]
fn scram_under_tls() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let imapd = Imapd::start(&it);
    let mut client = starttls(&it, &imapd);
    let answer = scram(
        &mut |line| {
            client.send(format!("{line}\r\n"));
            client.line()
        },
        "",
        "joe",
        "secret",
    );
    assert_eq!(answer, "a OK User logged in");
    assert_eq!(client.ask("select inbox").last().unwrap(), "OK [READ-WRITE] Completed");
}
