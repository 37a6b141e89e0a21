//! Parameters of IMAP, POP, web mail, access and encryption.

use super::Effect::{Refresh, Restart};
use super::Kind::*;
use super::{MAX, Parameter, row};

/// Ten years.
const MINUTES: i64 = 10 * 366 * 24 * 60;

/// The table: name, kind and range, default, unit, when a change takes effect, what it does.
#[rustfmt::skip]
pub(super) static TABLE: &[Parameter] = &[
    // service.imap
    row("service.imap.enable", Bool, "yes", "", Restart, "Offer the IMAP service on this server."),
    row("service.imap.port", Int(0, 65_535), "143", "", Restart, "Port of the IMAP service; 0: any free one, see data/proc/imap.port."),
    row("service.imap.enablesslport", Bool, "no", "", Restart, "Also listen on a separate port for IMAP under encryption."),
    row("service.imap.sslport", Int(0, 65_535), "993", "", Restart, "Port for IMAP under encryption; 0: any free one, see data/proc/imaps.port."),
    row("service.imap.sslusessl", Bool, "yes", "", Refresh, "Offer encryption on the plain port of IMAP (STARTTLS)."),
    row("service.imap.maxsessions", Int(1, MAX), "4000", "connections per process", Restart, "Most simultaneous IMAP connections of one process."),
    row("service.imap.maxthreads", Int(1, MAX), "250", "threads per process", Restart, "Most worker threads of one IMAP process."),
    row("service.imap.numprocesses", Int(1, MAX), "1", "processes", Restart, "Number of IMAP server processes."),
    row("service.imap.idletimeout", Int(30, MAX), "30", "minutes", Refresh, "Idle time after which an IMAP connection is dropped."),
    row("service.imap.plaintextmincipher", Int(-1, 65_535), "0", "bits", Refresh, "Clear-text passwords: 0 always, above 0 only under encryption that strong, -1 never."),
    row("service.imap.allowanonymouslogin", Bool, "no", "", Refresh, "Accept anonymous logins."),
    row("service.imap.domainallowed", Text, "", "", Refresh, "Client hosts that may connect."),
    row("service.imap.domainnotallowed", Text, "", "", Refresh, "Client hosts that may not connect."),
    row("service.imap.banner", Text, "%h %p service (%P %V)", "", Refresh, "Greeting line: %h host, %p protocol, %P product, %v version, %V full version, %% a percent sign."),
    row("service.imap.capability.<name>", Bool, "", "", Refresh, "Advertise or hide a single IMAP capability."),
    // service.pop
    row("service.pop.enable", Bool, "yes", "", Restart, "Offer the POP service on this server."),
    row("service.pop.port", Int(0, 65_535), "110", "", Restart, "Port of the POP service; 0: any free one, see data/proc/pop.port."),
    row("service.pop.enablesslport", Bool, "no", "", Restart, "Also listen on a separate port for POP under encryption."),
    row("service.pop.sslport", Int(0, 65_535), "995", "", Restart, "Port for POP under encryption; 0: any free one, see data/proc/pops.port."),
    row("service.pop.sslusessl", Bool, "yes", "", Refresh, "Offer encryption on the plain port of POP (STLS)."),
    row("service.pop.maxsessions", Int(1, MAX), "600", "connections per process", Restart, "Most simultaneous POP connections of one process."),
    row("service.pop.maxthreads", Int(1, MAX), "250", "threads per process", Restart, "Most worker threads of one POP process."),
    row("service.pop.numprocesses", Int(1, MAX), "1", "processes", Restart, "Number of POP server processes."),
    row("service.pop.idletimeout", Int(10, MAX), "10", "minutes", Refresh, "Idle time after which a POP connection is dropped."),
    row("service.pop.plaintextmincipher", Int(-1, 65_535), "0", "bits", Refresh, "Clear-text passwords: 0 always, above 0 only under encryption that strong, -1 never."),
    row("service.pop.allowanonymouslogin", Bool, "no", "", Refresh, "Accept anonymous logins."),
    row("service.pop.domainallowed", Text, "", "", Refresh, "Client hosts that may connect."),
    row("service.pop.domainnotallowed", Text, "", "", Refresh, "Client hosts that may not connect."),
    row("service.pop.banner", Text, "%h %p service (%P %V)", "", Refresh, "Greeting line: %h host, %p protocol, %P product, %v version, %V full version, %% a percent sign."),
    row("service.pop.popminpoll", Int(0, MINUTES), "0", "minutes", Refresh, "Shortest interval a client may poll at: least time between two logins of a user; 0: none."),
    // service.http
    row("service.http.enable", Bool, "no", "", Restart, "Offer the web mail service on this server."),
    row("service.http.port", Port, "80", "", Restart, "Port of the web mail service."),
    row("service.http.enablesslport", Bool, "no", "", Restart, "Also listen on a separate port for web mail under encryption."),
    row("service.http.sslport", Port, "443", "", Restart, "Port for web mail under encryption."),
    row("service.http.sslusessl", Bool, "yes", "", Restart, "Permit encryption for the web mail service."),
    row("service.http.maxsessions", Int(1, MAX), "6000", "connections per process", Restart, "Most simultaneous web mail connections of one process."),
    row("service.http.maxthreads", Int(1, MAX), "250", "threads per process", Restart, "Most worker threads of one web mail process."),
    row("service.http.numprocesses", Int(1, MAX), "1", "processes", Restart, "Number of web mail server processes."),
    row("service.http.idletimeout", Int(3, MAX), "3", "minutes", Refresh, "Idle time after which a web mail connection is dropped."),
    row("service.http.plaintextmincipher", Int(-1, 65_535), "0", "bits", Restart, "Clear-text passwords: 0 always, above 0 only under encryption that strong, -1 never."),
    row("service.http.allowanonymouslogin", Bool, "no", "", Refresh, "Accept anonymous logins."),
    row("service.http.domainallowed", Text, "", "", Restart, "Client hosts that may connect."),
    row("service.http.domainnotallowed", Text, "", "", Restart, "Client hosts that may not connect."),
    // service.smtp
    row("service.smtp.port", Port, "25", "", Restart, "Port of a mail transport beside the store."),
    // auth
    row("service.authcachesize", Int(1, MAX), "10000", "entries", Refresh, "Number of users kept in the login cache."),
    row("service.authcachettl", Int(0, MAX), "900", "seconds", Refresh, "Lifetime of a login-cache entry; 0: there is none."),
    row("service.defaultdomain", Text, "", "", Refresh, "Domain assumed for a login name without one."),
    row("service.loginseparator", Text, "@", "", Refresh, "Character(s) between user and domain in a login name; of several the first that occurs in the name."),
    row("service.plaintextloginpause", Int(0, MAX), "0", "seconds", Refresh, "Delay after a successful clear-text login."),
    row("service.readtimeout", Int(1, MAX), "10", "seconds", Restart, "Time allowed for a server's greeting and for its answer to a configuration refresh."),
    row("service.listenaddr", Text, "", "", Restart, "Address the services listen on; unset: every address."),
    row("service.dnsresolveclient", Bool, "no", "", Restart, "Look up client host names in reverse."),
    row("sasl.default.ldap.has_plain_passwords", Bool, "", "", Restart, "The directory holds clear-text passwords, so challenge mechanisms (APOP, CRAM-MD5) can be offered."),
    // access
    row("local.imap.enableuserlist", Bool, "", "", Restart, "Keep the list of users connected over IMAP, for the connection utility."),
    row("local.http.enableuserlist", Bool, "", "", Restart, "Keep the list of users connected over web mail, for the connection utility."),
    row("local.enablelastaccess", Bool, "", "", Restart, "Record the last login and logout time of each user."),
    row("local.imap.immediateflagupdate", Bool, "no", "", Refresh, "Let other sessions see a flag change at once instead of at their next check, which is their next command."),
    row("local.imap.forcetelemetry", Bool, "", "", Restart, "Record every IMAP session as telemetry, not only those of users with a telemetry directory."),
    row("local.http.forcetelemetry", Bool, "", "", Restart, "Record every web mail session, not only those of users with a telemetry directory."),
    row("local.imap.adminbypassquota", Bool, "", "", Restart, "Let administrators append past the quota of a mailbox."),
    row("local.imap.fixinternaldate", Bool, "", "", Restart, "Repair bad internal dates."),
    row("local.imap.logprotocolerrors", Bool, "", "", Restart, "Log protocol errors of IMAP clients."),
    row("local.http.sslnicknames", Words, "", "", Restart, "Certificates the web mail service offers."),
    row("local.service.http.gzip.static", Bool, "", "", Restart, "Compress static web pages."),
    row("local.service.http.gzip.dynamic", Bool, "", "", Restart, "Compress generated web pages."),
    row("local.msgtrace.active", Choice(&["no", "yes", "msgtrace", "transactlog"]), "no", "", Restart, "Trace what happens to messages in the store."),
    // ssl
    row("encryption.nscertfile", Path, "msg_svr_base/config/server.crt", "", Refresh, "Certificate file: PEM, the server's own first, then those that vouch for it."),
    row("encryption.nskeyfile", Path, "msg_svr_base/config/server.key", "", Refresh, "Private key file: PEM, readable by the account of the services."),
    row("encryption.nsssl2", Bool, "no", "", Restart, "Permit SSL version 2."),
    row("encryption.nsssl2ciphers", Text, "", "", Restart, "Ciphers for SSL version 2."),
    row("encryption.nsssl3", Bool, "", "", Restart, "Permit SSL version 3."),
    row("encryption.nsssl3ciphers", Text, "", "", Restart, "Ciphers for SSL version 3 and TLS."),
    row("encryption.rsa.nssslactivation", Bool, "", "", Restart, "Activate the RSA cipher family."),
    row("encryption.rsa.nsssltoken", Text, "", "", Restart, "Token that holds the server key."),
    row("encryption.rsa.nssslpersonalityssl", Text, "", "", Restart, "Nickname of the server certificate."),
    row("nsserversecurity", Bool, "yes", "", Refresh, "Master switch for encryption."),
];
