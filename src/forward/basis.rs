//! What a connection was made with. One that has lain idle is used again only if it would be made the same way now.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::address::Remote;
use crate::forward::config::EngineConfig;
use crate::forward::destination::Destination;
use crate::forward::engine::Engine;
use crate::secrets::Secrets;

/// For so long the answer of the name server counts, whatever its own time to live (spec/07 G33).
const NAME_AGE: Duration = Duration::from_secs(300);

/// What a connection was made with.
#[derive(Debug)]
pub(crate) struct Basis {
    made: Instant,
    /// The peer's address comes from a name.
    by_name: bool,
    config: Arc<EngineConfig>,
    /// The accounts, even if none was used. They are not kept in memory for this.
    secrets: Option<Weak<Secrets>>,
}

impl Basis {
    /// To be taken before the connection is made: what changes meanwhile makes it old.
    pub(crate) async fn of(engine: &Engine, destination: &Destination) -> Self {
        let config = engine.config();
        Self {
            made: Instant::now(),
            by_name: matches!(destination.address, Remote::Host { .. } | Remote::Socks { .. }),
            secrets: secrets(&config).await,
            config,
        }
    }

    /// Whether configuration and accounts are the same and the address is not too old.
    pub(crate) async fn holds(&self, engine: &Engine) -> bool {
        let config = engine.config();
        let fresh = !self.by_name || self.made.elapsed() < NAME_AGE;
        fresh && Arc::ptr_eq(&config, &self.config) && same(&secrets(&config).await, &self.secrets)
    }
}

async fn secrets(config: &EngineConfig) -> Option<Weak<Secrets>> {
    match &config.accounts {
        Some(accounts) => Some(Arc::downgrade(&accounts.secrets().await)),
        None => None,
    }
}

fn same(one: &Option<Weak<Secrets>>, other: &Option<Weak<Secrets>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.ptr_eq(other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::forward::account::{Accounts, Source};
    use crate::log::Context;
    use crate::sasl::Policy;
    use crate::secrets::Store;
    use crate::spool::{Spool, SpoolConfig};

    fn to(address: Remote) -> Destination {
        Destination { address, selector: String::new() }
    }

    fn by_name() -> Destination {
        to(Remote::Host { host: "mx.example.com".to_owned(), port: 25 })
    }

    fn by_number() -> Destination {
        to(Remote::Ip(([192, 0, 2, 1], 25).into()))
    }

    fn engine(directory: &std::path::Path, accounts: Option<Arc<Accounts>>) -> Arc<Engine> {
        let spool = Spool::open(directory, SpoolConfig::default()).unwrap();
        Engine::new(spool, EngineConfig { accounts, ..EngineConfig::example() }, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_believed_for_five_minutes() {
        let directory = tempfile::tempdir().unwrap();
        let engine = engine(directory.path(), None);
        let (name, number) = (Basis::of(&engine, &by_name()).await, Basis::of(&engine, &by_number()).await);
        advance(NAME_AGE - Duration::from_secs(1)).await;
        assert!(name.holds(&engine).await);
        advance(Duration::from_secs(1)).await;
        assert!(!name.holds(&engine).await);
        assert!(number.holds(&engine).await);
        engine.reload((*engine.config()).clone());
        assert!(!number.holds(&engine).await);
    }

    #[tokio::test]
    async fn a_change_of_the_accounts_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secrets");
        std::fs::write(&file, "client plain me one\n").unwrap();
        let (store, _) = Store::open(&file, std::time::Instant::now()).unwrap();
        let accounts = Accounts::new(Source::File(Arc::new(store)), Policy::default(), Context::default());
        let spool = tempfile::tempdir().unwrap();
        let engine = engine(spool.path(), Some(Arc::clone(&accounts)));
        let basis = Basis::of(&engine, &by_number()).await;
        accounts.look();
        assert!(basis.holds(&engine).await);
        std::fs::write(&file, "client plain me another\n").unwrap();
        accounts.look();
        assert!(!basis.holds(&engine).await);
    }
}
