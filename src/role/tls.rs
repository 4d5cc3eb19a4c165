//! TLS of an instance: made before rights are given up, followed and reloaded while it runs.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::log::Context;
use crate::tls::{Acceptor, Connector, SetupError};

/// Both sides, as far as they are configured and there is anything for them to do.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// For all servers of the instance.
    pub acceptor: Option<Arc<Acceptor>>,
    /// For forwarding.
    pub connector: Option<Arc<Connector>>,
}

impl Tls {
    /// Reads every file that the settings name, with the rights of the starting user.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn open(settings: &Settings) -> Result<Self, SetupError> {
        let context = Context::unit(&settings.name);
        let timeout = settings.forward.connection_timeout;
        let server = settings.server_tls.as_ref().filter(|_| settings.serves());
        let client = settings.client_tls.as_ref().filter(|_| settings.forward.to.is_some());
        Ok(Self {
            acceptor: server.map(|tls| Acceptor::new(tls, timeout, context.clone())).transpose()?,
            connector: client.map(|tls| Connector::new(tls, context)).transpose()?,
        })
    }

    /// Follows the files until `stop` is cancelled.
    pub fn watch(&self, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let Self { acceptor, connector } = self.clone();
        async move {
            let server = async {
                if let Some(acceptor) = acceptor {
                    acceptor.watch(stop.clone()).await;
                }
            };
            let client = async {
                if let Some(connector) = connector {
                    connector.watch(stop.clone()).await;
                }
            };
            tokio::join!(server, client);
        }
    }

    /// Takes new settings over, as far as TLS was configured at the start.
    pub fn reload(&self, settings: &Settings) {
        if let (Some(acceptor), Some(tls)) = (&self.acceptor, &settings.server_tls) {
            acceptor.reload(tls);
        }
        if let (Some(connector), Some(tls)) = (&self.connector, &settings.client_tls) {
            connector.reload(tls);
        }
    }
}
