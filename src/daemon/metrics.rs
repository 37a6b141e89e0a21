//! The registry of counters for Prometheus: a page over HTTP, on a socket file and, where that is configured, on a loopback port. One client at
//! a time is answered at each; nothing is asked of it but a request line.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Conf, Instance};
use crate::counter::{Registry, prometheus};
use crate::log::{self, Category};
use crate::os::durable;

/// The file below `data/proc` that tells the port.
const PORT_FILE: &str = "metrics.port";
/// How long a client may take for its request, and for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest request.
const REQUEST: usize = 8 * 1024;

/// The page while it is served.
#[derive(Debug)]
pub(super) struct Metrics {
    files: Vec<PathBuf>,
}

impl Metrics {
    /// Begins to serve it. What cannot be listened on is in the log: figures are no reason to keep mail from anybody.
    pub(super) fn start(instance: &Instance, conf: &Conf) -> Metrics {
        let mut files = Vec::new();
        if !conf.string("local.metrics.socket").is_empty() {
            let path = conf.path("local.metrics.socket");
            match listen_at(&path) {
                Ok(socket) => {
                    files.push(path);
                    serve(instance, move || socket.accept().map(|(stream, _)| stream));
                }
                Err(error) => failed(&path.display().to_string(), &error),
            }
        }
        let file = instance.proc_dir().join(PORT_FILE);
        // One that a killed process left behind tells of a port that is not there.
        drop(std::fs::remove_file(&file));
        if let Ok(port) = u16::try_from(conf.int("local.metrics.port")) {
            let opened = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|socket| {
                let text = format!("{}\n", socket.local_addr()?.port());
                durable::replace(&file, text.as_bytes(), 0o600).map(|()| socket)
            });
            match opened {
                Ok(socket) => {
                    files.push(file);
                    serve(instance, move || socket.accept().map(|(stream, _)| stream));
                }
                Err(error) => failed(&format!("127.0.0.1:{port}"), &error),
            }
        }
        Metrics { files }
    }

    /// Removes the files. The threads end with the process.
    pub(super) fn stop(self) {
        for file in self.files {
            // It may be gone already.
            drop(std::fs::remove_file(file));
        }
    }
}

fn failed(place: &str, error: &io::Error) {
    log::error(Category::Network, format!("the figures cannot be served on {place}: {error}"));
}

/// The socket of a process that is gone is replaced: stored has claimed its pid file, so nobody else is it.
fn listen_at(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")),
        Err(_) => {}
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

trait Client: Read + Write + Send + 'static {
    fn bound(&self, time: Duration) -> io::Result<()>;
    fn close(&self);
}

impl Client for UnixStream {
    fn bound(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time)).and_then(|()| self.set_write_timeout(Some(time)))
    }

    fn close(&self) {
        drop(self.shutdown(Shutdown::Write));
    }
}

impl Client for TcpStream {
    fn bound(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time)).and_then(|()| self.set_write_timeout(Some(time)))
    }

    fn close(&self) {
        drop(self.shutdown(Shutdown::Write));
    }
}

fn serve<C: Client>(instance: &Instance, accept: impl Fn() -> io::Result<C> + Send + 'static) {
    let path = instance.counters();
    let begun = thread::Builder::new().name("metrics".into()).spawn(move || {
        loop {
            match accept() {
                // Who goes away in the middle is not missed.
                Ok(client) => drop(answer(client, &path)),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    });
    if let Err(error) = begun {
        failed("a thread of its own", &error);
    }
}

fn answer(mut client: impl Client, path: &Path) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") && !request.windows(2).any(|bytes| bytes == b"\n\n") {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || request.len() >= REQUEST {
            break;
        }
        client.bound(left)?;
        let mut bytes = [0; 1024];
        match client.read(&mut bytes)? {
            0 => break,
            count => request.extend_from_slice(bytes.get(..count).unwrap_or_default()),
        }
    }
    let (status, media, body) = page(&request, path);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.bound(PATIENCE)?;
    client.write_all(head.as_bytes())?;
    if !request.starts_with(b"HEAD ") {
        client.write_all(body.as_bytes())?;
    }
    client.close();
    Ok(())
}

/// Status, media type and body for a request (RFC 9112 section 3).
fn page(request: &[u8], path: &Path) -> (&'static str, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    let line = request.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace();
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some("HTTP/1.0" | "HTTP/1.1")) = (method, target, version) else {
        return ("400 Bad Request", TEXT, "no request of HTTP/1.1\n".into());
    };
    if !matches!(method, "GET" | "HEAD") {
        return ("405 Method Not Allowed", TEXT, "GET only\n".into());
    }
    if target.split('?').next() != Some("/metrics") {
        return ("404 Not Found", TEXT, "the figures are at /metrics\n".into());
    }
    match Registry::open(path).and_then(|registry| registry.objects()) {
        Ok(objects) => ("200 OK", prometheus::MEDIA_TYPE, prometheus::text(&objects)),
        Err(error) => ("503 Service Unavailable", TEXT, format!("the counters cannot be read: {error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counter");
        let status = |request: &str| page(request.as_bytes(), &path).0.split(' ').next().unwrap().to_owned();
        assert_eq!(status("GET /metrics HTTP/1.1\r\n\r\n"), "503");
        Registry::open_or_create(&path, 1).unwrap();
        for (request, wanted) in [
            ("GET /metrics HTTP/1.1\r\n\r\n", "200"),
            ("HEAD /metrics?x=y HTTP/1.0\r\n\r\n", "200"),
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET /metrics\r\n", "400"),
            ("", "400"),
            ("\u{0}\u{1}\n", "400"),
        ] {
            assert_eq!(status(request), wanted, "{request}");
        }
    }
}
