//! What a reload cannot change: it is told which options need a restart.

use crate::config::{ProcessSettings, Settings};
use crate::log::{self, Context, ProcessEvent};

/// Options of the process that have changed and cannot change while it runs.
pub fn of_process(old: &ProcessSettings, new: &ProcessSettings) -> Vec<&'static str> {
    changed(&[
        ("log-file", old.log.file != new.log.file),
        ("log-format", old.log.format != new.log.format),
        ("syslog", old.log.syslog != new.log.syslog),
        ("close-stderr", old.log.close_stderr != new.log.close_stderr),
        ("pid-file", old.pid_file != new.pid_file),
        ("user", old.user != new.user),
        ("stop-timeout", old.stop_timeout != new.stop_timeout),
        ("idle-exit", old.idle_exit != new.idle_exit),
        ("linger", old.linger != new.linger),
    ])
}

/// Options of an instance that have changed and cannot change while it runs.
pub fn of_instance(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let triggers = |settings: &Settings| (settings.forward.to.is_some(), settings.forward.on_disconnect);
    changed(&[
        ("spool-dir", old.spool_dir != new.spool_dir),
        ("durability", old.durability != new.durability),
        ("no-sweep", old.sweep != new.sweep),
        ("port", old.smtp.port != new.smtp.port),
        ("interface", old.interfaces != new.interfaces),
        ("smtp-max-connections", old.smtp.max_connections != new.smtp.max_connections),
        ("smtp-max-per-address", old.smtp.max_per_address != new.smtp.max_per_address),
        ("client-auth", old.forward.auth != new.forward.auth),
        ("client-auth-config", old.forward.auth_policy != new.forward.auth_policy),
        ("server-auth", old.smtp.auth != new.smtp.auth),
        ("pop-port", old.pop.port != new.pop.port),
        ("pop-auth", old.pop.auth != new.pop.auth),
        ("pop-max-connections", old.pop.max_connections != new.pop.max_connections),
        ("pop-max-per-address", old.pop.max_per_address != new.pop.max_per_address),
        ("server-auth-config", old.auth_policy != new.auth_policy),
        ("admin", old.admin.port != new.admin.port),
        ("admin-terminate", old.admin.terminate != new.admin.terminate),
        ("server-tls or --server-tls-certificate", old.server_tls.is_some() != new.server_tls.is_some()),
        ("client-tls", old.client_tls.is_some() != new.client_tls.is_some()),
        ("poll", old.forward.poll != new.forward.poll),
        ("immediate", old.forward.immediate != new.forward.immediate),
        ("filter-max", old.filter.running != new.filter.running),
        ("filter-queue-timeout", old.filter.wait != new.filter.wait),
        ("forward-to or --forward-on-disconnect", triggers(old) != triggers(new)),
    ])
}

fn changed(options: &[(&'static str, bool)]) -> Vec<&'static str> {
    options.iter().filter(|(_, changed)| *changed).map(|(option, _)| *option).collect()
}

/// Tells that these options keep their old values.
pub fn report(context: &Context, options: &[&'static str]) {
    for option in options {
        log::emit(context, &ProcessEvent::ReloadPartial { option: (*option).to_owned() }.into());
    }
}
