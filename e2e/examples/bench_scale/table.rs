//! The numbers beside their bounds.

/// What a number may be with many apps.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    Most(f64),
    /// So many times as much as with one app.
    Times(f64),
    None,
}

pub(crate) struct Row {
    what: String,
    bound: Bound,
    few: Option<f64>,
    many: f64,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, bound: Bound) -> Self {
        Self { what: what.into(), bound, few: None, many: 0.0 }
    }

    pub(crate) fn of(self, few: f64, many: f64) -> Self {
        Self { few: Some(few), many, ..self }
    }

    /// Of something that there is not with one app.
    pub(crate) fn alone(self, many: f64) -> Self {
        Self { many, ..self }
    }

    pub(crate) fn holds(&self) -> bool {
        match self.bound {
            Bound::Most(most) => self.many <= most,
            Bound::Times(times) => self.few.is_some_and(|few| self.many <= few * times),
            Bound::None => true,
        }
    }
}

pub(crate) fn print(rows: &[Row], apps: usize) {
    println!("\n{:<46}{:>10}{:>12}   bound", "", "1 app", format!("{} apps", apps + 1));
    for row in rows {
        let few = row.few.map_or_else(String::new, |few| format!("{few:.2}"));
        let bound = match row.bound {
            Bound::Most(most) => format!("at most {most}"),
            Bound::Times(times) => format!("{times} x"),
            Bound::None => String::new(),
        };
        let broken = if row.holds() { "" } else { "   BROKEN" };
        println!("{:<46}{few:>10}{:>12.2}   {bound}{broken}", row.what, row.many);
    }
}
