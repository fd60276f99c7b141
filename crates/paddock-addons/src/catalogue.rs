//! The services of an installation.

use std::sync::Arc;

use crate::plan::printable;
use crate::{Plan, Refusal, Service};

/// The services of an installation. The list is made where the server is put together.
#[derive(Clone, Default)]
pub struct Catalogue {
    services: Vec<Arc<dyn Service>>,
}

impl Catalogue {
    /// These services.
    #[must_use]
    pub fn new(services: Vec<Arc<dyn Service>>) -> Self {
        Self { services }
    }

    /// All of them.
    pub fn services(&self) -> impl Iterator<Item = &Arc<dyn Service>> {
        self.services.iter()
    }

    /// The one with this name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<dyn Service>> {
        self.services.iter().find(|service| service.info().name == name)
    }

    /// What is meant by `SERVICE:PLAN`, or by `SERVICE` alone.
    ///
    /// # Errors
    /// Nothing that is built: a sentence for the user.
    pub fn plan(&self, text: &str) -> Result<(&Arc<dyn Service>, &'static Plan), Refusal> {
        let (name, plan) = text.split_once(':').map_or((text, None), |(name, plan)| (name, Some(plan)));
        let service = self.service(name).ok_or_else(|| {
            Refusal::new(format!(
                "Couldn't find either the add-on service or the add-on plan of \"{}\". See heroku addons:services for the services there are.",
                printable(text)
            ))
        })?;
        Ok((service, service.info().plan(plan)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeService;

    fn catalogue() -> Catalogue {
        Catalogue::new(vec![Arc::new(FakeService::default())])
    }

    #[test]
    fn a_service_alone_means_its_first_plan() {
        let catalogue = catalogue();
        assert_eq!(catalogue.plan("heroku-fake").unwrap().1.name, "small");
        assert_eq!(catalogue.plan("heroku-fake:tiny").unwrap().1.name, "small");
        assert_eq!(catalogue.plan("heroku-fake:large").unwrap().1.name, "large");
    }

    #[test]
    fn what_is_not_there_is_a_sentence() {
        let catalogue = catalogue();
        let refused = |text| catalogue.plan(text).err().unwrap().to_string();
        assert!(refused("heroku-redis").starts_with("Couldn't find either the add-on"));
        assert!(refused("heroku-fake:huge").starts_with("Couldn't find either the add-on"));
        assert!(refused("heroku-fake:premium-7").contains("not built yet"));
        assert!(!refused("heroku-fake:a\nb").contains('\n'));
    }
}
