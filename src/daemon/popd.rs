//! The POP daemon: what its sessions share. One connection is `connection`.

mod connection;

use std::future::Future;
use std::sync::Arc;

use super::line::Line;
use super::listener::Words;
use super::network::{Material, Names, Protocol};
use super::sockets::Entrance;
use crate::ops::instance::host_name;
use crate::protocol::pop::server::Server;

impl Protocol for Server {
    const NAMES: Names = Names {
        service: "pop",
        daemon: "popd",
        alpn: "pop3",
        port_files: ["pop.port", "pops.port"],
        words: Words {
            full: b"-ERR [SYS/TEMP] Too many connections, try again later\r\n",
            denied: b"-ERR [SYS/PERM] Access denied\r\n",
        },
        // RFC 1939 section 3: no less than 10 minutes.
        idle_min: 10,
    };

    fn from(material: Material<'_>, _: Option<&Server>) -> Server {
        let Material { parameters, store, directory, starttls, quota } = material;
        let conf = parameters.conf;
        Server {
            store,
            directory,
            quota,
            admins: conf.list("store.admins").into_iter().collect(),
            default_domain: parameters.domain("local.defdomain"),
            login_domain: parameters.domain("service.defaultdomain"),
            separators: conf.string("service.loginseparator"),
            privacy: parameters.privacy(),
            stls: starttls,
            banner: parameters.banner(&host_name(conf), "POP3"),
            min_poll_s: u32::try_from(parameters.int("popminpoll").saturating_mul(60)).unwrap_or(0),
            expire_days: u32::try_from(parameters.int("expiretime")).ok(),
        }
    }

    fn serve(self: Arc<Server>, line: Line, entrance: Entrance) -> impl Future<Output = ()> + Send {
        connection::serve(self, line, entrance.tls)
    }
}
