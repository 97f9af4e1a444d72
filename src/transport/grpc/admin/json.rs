//! The protobuf JSON of the admin service, for the routes of HTTP that speak it: fields in, bytes out.
//!
//! Field names are read in both spellings and written in lowerCamel; fields that say nothing are left out, and one that the
//! messages do not have is an error.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value};

use crate::audit::Actor;
use crate::engine::Operate;
use crate::transport::problem::Problem;

use super::super::ADMIN_DESCRIPTORS;
use super::super::proto::tollgate::v1::admin_service_server::SERVICE_NAME;
use super::{AdminCalls, blame};

/// A method that has a route of HTTP with the same fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    ListLimits,
    SetTier,
    SetPrice,
    ListAudit,
    Explain,
    TopConsumers,
    ImportUsage,
}

impl Twin {
    /// As the service names it.
    const fn name(self) -> &'static str {
        match self {
            Self::ListLimits => "ListLimits",
            Self::SetTier => "SetTier",
            Self::SetPrice => "SetPrice",
            Self::ListAudit => "ListAudit",
            Self::Explain => "Explain",
            Self::TopConsumers => "TopConsumers",
            Self::ImportUsage => "ImportUsage",
        }
    }

    fn shape(self) -> MethodDescriptor {
        let mut methods = SERVICE.methods();
        methods.find(|method| method.name() == self.name()).expect("it is a method of the service")
    }
}

static SERVICE: LazyLock<ServiceDescriptor> = LazyLock::new(|| {
    let pool =
        DescriptorPool::decode(ADMIN_DESCRIPTORS).expect("the descriptors were compiled with this crate");
    pool.get_service_by_name(SERVICE_NAME).expect("it is in the same file")
});

impl<I: Operate> AdminCalls<I> {
    /// What `twin` answers to `fields`.
    pub(crate) async fn by_json(
        &self,
        actor: Actor,
        twin: Twin,
        fields: Map<String, Value>,
    ) -> Result<Vec<u8>, Problem> {
        let shape = twin.shape();
        match twin {
            Twin::ListLimits => written(&shape, &self.list_limits(actor, read(&shape, fields)?).await?),
            Twin::SetTier => written(&shape, &self.set_tier(actor, read(&shape, fields)?).await?),
            Twin::SetPrice => written(&shape, &self.set_price(actor, read(&shape, fields)?).await?),
            Twin::ListAudit => written(&shape, &self.list_audit(actor, read(&shape, fields)?).await?),
            Twin::Explain => written(&shape, &self.explain(actor, read(&shape, fields)?).await?),
            Twin::TopConsumers => written(&shape, &self.top_consumers(actor, read(&shape, fields)?).await?),
            Twin::ImportUsage => written(&shape, &self.import_usage(actor, read(&shape, fields)?).await?),
        }
    }
}

fn read<M: Message + Default>(shape: &MethodDescriptor, fields: Map<String, Value>) -> Result<M, Problem> {
    let message = blame::read(&shape.input(), fields).map_err(Problem::invalid)?;
    Ok(M::decode(&*message.encode_to_vec()).expect("both are compiled from the same file"))
}

fn written(shape: &MethodDescriptor, answer: &impl Message) -> Result<Vec<u8>, Problem> {
    let message =
        DynamicMessage::decode(shape.output(), &*answer.encode_to_vec()).map_err(|_| Problem::broken())?;
    serde_json::to_vec(&message).map_err(|_| Problem::broken())
}
