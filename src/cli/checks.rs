//! Rules between options, in the order in which they are tested; the first one broken is reported.

use super::merge::Entries;
use super::{Environment, filters, table};

/// What the rules look at.
pub(super) struct Facts<'a> {
    /// The options of one instance.
    pub(super) entries: &'a Entries,
    /// For relative paths.
    pub(super) env: &'a Environment,
    /// The options of the process.
    pub(super) process: &'a Entries,
    /// Whether anything is logged.
    pub(super) log: bool,
    /// Whether an option belongs to the program. A rule that asks for one it does not have is none for it.
    pub(super) knows: &'a dyn Fn(&str) -> bool,
    /// The next hop, wherever it was given, is a unix socket.
    pub(super) unix_next_hop: bool,
}

impl Facts<'_> {
    fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.entries.get(name).map(|entry| entry.value.to_string_lossy().into_owned())
    }
}

/// The rules for one instance.
///
/// # Errors
/// The text of the first one broken.
pub(super) fn instance(facts: &Facts<'_>) -> Result<(), String> {
    broken(facts).into_iter().next().map_or(Ok(()), Err)
}

/// The texts of all rules that one instance breaks.
pub(super) fn broken(facts: &Facts<'_>) -> Vec<String> {
    [servers, forwarding, without_server, authentication, logging, tls, values]
        .iter()
        .flat_map(|rules| rules(facts))
        .collect()
}

fn servers(facts: &Facts<'_>) -> Vec<String> {
    let pop = facts.has("pop");
    let options = table::all().filter(|opt| opt.section == table::Section::Pop && opt.name != "pop");
    let pop_options = facts.has("pop-auth") || options.map(|opt| opt.name).any(|name| facts.has(name));
    all(&[
        // emailrelay-pop serves POP whether or not it is told to.
        (pop_options && !pop && (facts.knows)("port"), "pop options require --pop"),
        (pop && !facts.has("pop-auth"), "the --pop option requires --pop-auth"),
        (
            facts.has("admin-terminate") && !facts.has("admin") && (facts.knows)("dont-serve"),
            "the --admin-terminate option requires --admin",
        ),
    ])
}

fn forwarding(facts: &Facts<'_>) -> Vec<String> {
    let short = facts.any(&["as-client", "as-proxy"]);
    let no_address = (facts.knows)("forward-to") && !short && !facts.has("forward-to");
    all(&[
        (facts.has("forward-to") && short, "--forward-to cannot be used with --as-client or --as-proxy"),
        (no_address && facts.has("forward"), "--forward requires --forward-to"),
        (no_address && facts.has("forward-on-disconnect"), "--forward-on-disconnect requires --forward-to"),
        (no_address && facts.has("client-filter"), "--client-filter requires --forward-to"),
    ])
}

fn without_server(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut conflict = |names: &[&'static str], with: &str| {
        let given = names.iter().filter(|name| facts.has(name));
        broken.extend(given.map(|name| format!("the --{name} option cannot be used with {with}")));
    };
    if facts.any(&["dont-serve", "as-client"]) && (facts.knows)("dont-serve") {
        conflict(&["filter", "port", "server-auth", "pop", "admin"], "--as-client or --dont-serve");
    }
    if facts.has("no-smtp") {
        conflict(&["filter", "port", "server-auth"], "--no-smtp");
    }
    broken
}

fn authentication(facts: &Facts<'_>) -> Vec<String> {
    let alone = |config: &str, auth: &str| facts.has(config) && !facts.has(auth) && (facts.knows)(auth);
    all(&[
        (
            alone("server-auth-config", "server-auth"),
            "the --server-auth-config option requires --server-auth",
        ),
        (
            alone("client-auth-config", "client-auth"),
            "the --client-auth-config option requires --client-auth",
        ),
    ])
}

fn logging(facts: &Facts<'_>) -> Vec<String> {
    let has = |name: &str| facts.process.contains_key(name);
    all(&[
        (
            has("verbose") && !facts.log,
            "the --verbose option must be used with --log, --help, --as-client, --as-server or --as-proxy",
        ),
        (
            has("debug") && !facts.log,
            "the --debug option requires --log, --as-client, --as-server or --as-proxy",
        ),
    ])
}

fn tls(facts: &Facts<'_>) -> Vec<String> {
    let has = |name| facts.has(name);
    let client = facts.any(&["client-tls", "client-tls-connection"]);
    let server = facts.any(&["server-tls", "server-tls-connection"]);
    let certificate = has("server-tls-certificate");
    let items =
        |name| facts.text(name).map_or(0, |text| text.split(',').filter(|item| !item.is_empty()).count());
    all(&[
        (
            has("client-tls") && has("client-tls-connection"),
            "the --client-tls and --client-tls-connection options cannot be used together",
        ),
        (
            has("server-tls") && has("server-tls-connection"),
            "the --server-tls and --server-tls-connection options cannot be used together",
        ),
        (has("server-tls") && !certificate, "the --server-tls option requires --server-tls-certificate"),
        (
            has("server-tls-connection") && !certificate,
            "the --server-tls-connection option requires --server-tls-certificate",
        ),
        (
            !server && facts.any(&["server-tls-certificate", "server-tls-verify"]),
            "the --server-tls options require either --server-tls or --server-tls-connection",
        ),
        (
            !client && facts.any(&["client-tls-certificate", "client-tls-verify", "client-tls-required"]),
            "the --client-tls- options require --client-tls or --client-tls-connection",
        ),
        (
            items("server-tls-certificate") > 2,
            "the --server-tls-certificate option cannot be used more than twice",
        ),
        (
            items("client-tls-certificate") > 2,
            "the --client-tls-certificate option cannot be used more than twice",
        ),
        (
            has("client-tls-verify-name") && !has("client-tls-verify"),
            "the --client-tls-verify-name options requires --client-tls-verify",
        ),
        (
            has("pop-tls-connection") && !server,
            "--pop-tls-connection requires --server-tls or --server-tls-connection",
        ),
        (
            has("server-tls-required") && !server,
            "--server-tls-required requires --server-tls or --server-tls-connection",
        ),
    ])
}

fn values(facts: &Facts<'_>) -> Vec<String> {
    let interface = facts.text("interface").unwrap_or_default();
    let mut broken = all(&[
        (
            interface.split(',').any(|item| item.starts_with("client=")),
            "using --interface with client= is no longer supported: use --client-interface instead",
        ),
        (facts.has("dnsbl") && !facts.has("remote-clients"), "--dnsbl requires --remote-clients or -r"),
        (
            facts.has("client-interface") && facts.unix_next_hop,
            "the --client-interface option cannot be used with a unix-domain forwarding address",
        ),
        (
            facts.text("domain").is_some_and(|domain| domain.is_empty()),
            "the --domain value must not be empty",
        ),
    ]);
    broken.extend(filters::of(facts.entries, "filter", facts.env).err());
    broken.extend(filters::of(facts.entries, "client-filter", facts.env).err());
    broken.extend(filters::verifier(facts.entries, facts.env).err());
    broken
}

/// The texts of the rules that are broken.
fn all(rules: &[(bool, &str)]) -> Vec<String> {
    rules.iter().filter(|(broken, _)| *broken).map(|(_, text)| (*text).to_owned()).collect()
}
