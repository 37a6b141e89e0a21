//! The IMAP daemon: what its sessions share. One connection is `connection`.

mod connection;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use super::line::Line;
use super::listener::Words;
use super::network::{Material, Names, Protocol};
use super::sockets::Entrance;
use crate::config::Conf;
use crate::ops::instance::host_name;
use crate::protocol::imap::crew::Crew;
use crate::protocol::imap::server::Server;

/// Largest message that APPEND takes.
const MESSAGE_BYTES: u64 = 1 << 30;

impl Protocol for Server {
    const NAMES: Names = Names {
        service: "imap",
        daemon: "imapd",
        alpn: "imap",
        port_files: ["imap.port", "imaps.port"],
        words: Words { full: b"* BYE Too many connections, try again later\r\n", denied: b"* BYE Access denied\r\n" },
        // RFC 3501 section 5.4: no less than 30 minutes.
        idle_min: 30,
    };

    fn from(material: Material<'_>, before: Option<&Server>) -> Server {
        let Material { parameters, store, directory, starttls, quota } = material;
        let conf = parameters.conf;
        Server {
            store,
            // Of the process, not of its settings.
            pictures: before.map(|old| Arc::clone(&old.pictures)).unwrap_or_default(),
            crew: before
                .map_or_else(|| Arc::new(Crew::new(parameters.count("maxthreads"))), |old| Arc::clone(&old.crew)),
            directory,
            quota,
            admins: conf.list("store.admins").into_iter().collect(),
            restrict_anyone: conf.bool("store.privatesharedfolders.restrictanyone"),
            lists_shared: conf.bool("local.store.sharedfolders"),
            default_domain: parameters.domain("local.defdomain"),
            login_domain: parameters.domain("service.defaultdomain"),
            separators: conf.string("service.loginseparator"),
            privacy: parameters.privacy(),
            starttls,
            hidden: hidden(conf),
            banner: parameters.banner(&host_name(conf), "IMAP4"),
            message_bytes: MESSAGE_BYTES,
            immediate: conf.bool("local.imap.immediateflagupdate"),
        }
    }

    fn serve(self: Arc<Server>, line: Line, entrance: Entrance) -> impl Future<Output = ()> + Send {
        connection::serve(self, line, entrance.tls)
    }
}

/// The capabilities that are not to be named.
fn hidden(conf: &Conf) -> HashSet<String> {
    let prefix = "service.imap.capability.";
    let off = conf.settings(prefix).into_iter().filter(|setting| crate::config::boolean(&setting.value) == Some(false));
    off.filter_map(|setting| setting.name.get(prefix.len()..).map(str::to_ascii_uppercase)).collect()
}
