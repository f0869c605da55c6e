//! Tables of the configuration. Each key is written once, with its type, its default, its bounds, and when a change of it counts:
//! reading, showing, comparing and documenting are visitors of that.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::value::Value;

/// When a change of a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// While the gateway runs.
    Live,
    /// With the next start.
    Restart,
}

/// What holds for the value of a key, beside its type.
pub(super) struct Rule<V> {
    pub(super) least: Option<V>,
    pub(super) most: Option<V>,
    pub(super) change: Change,
    compare: fn(&V, &V) -> Option<Ordering>,
}

/// A bound that a value does not keep.
pub(super) enum Beyond<V> {
    Least(V),
    Most(V),
}

impl<V: Clone> Rule<V> {
    pub(super) fn any() -> Rule<V> {
        Rule { least: None, most: None, change: Change::Live, compare: |_, _| None }
    }

    pub(super) fn least(self, least: V) -> Rule<V>
    where
        V: PartialOrd,
    {
        Rule { least: Some(least), compare: V::partial_cmp, ..self }
    }

    pub(super) fn most(self, most: V) -> Rule<V>
    where
        V: PartialOrd,
    {
        Rule { most: Some(most), compare: V::partial_cmp, ..self }
    }

    pub(super) fn restart(self) -> Rule<V> {
        Rule { change: Change::Restart, ..self }
    }

    pub(super) fn broken_by(&self, value: &V) -> Option<Beyond<V>> {
        let is = |bound: &&V, order| (self.compare)(value, bound) == Some(order);
        let least = self.least.as_ref().filter(|least| is(least, Ordering::Less)).cloned().map(Beyond::Least);
        least.or_else(|| self.most.as_ref().filter(|most| is(most, Ordering::Greater)).cloned().map(Beyond::Most))
    }
}

/// Is led through all keys of a table, in the order in which they are written.
pub(super) trait Visitor {
    fn key<V: Value>(&mut self, name: &str, value: &mut V, rule: &Rule<V>);

    fn table<T: Table>(&mut self, name: &str, table: &mut T);

    /// A table that may be missing as a whole.
    fn optional<T: Table>(&mut self, name: &str, table: &mut Option<T>);

    /// Tables by name. The entry `pattern`, if there is one, is what the others begin with.
    fn tables<T: Table>(&mut self, name: &str, tables: &mut BTreeMap<String, T>, pattern: Option<&str>);

    fn list<T: Table>(&mut self, name: &str, list: &mut Vec<T>);

    /// A key that has no place here, and why.
    fn refuse(&mut self, _name: &str, _why: &str) {}
}

pub(super) trait Table: Clone + Default {
    fn visit(&mut self, visitor: &mut impl Visitor);
}

/// Leads a visitor through keys that have no place where they are.
pub(super) struct Refusing<'a, V> {
    pub(super) visitor: &'a mut V,
    pub(super) why: String,
}

impl<V: Visitor> Visitor for Refusing<'_, V> {
    fn key<W: Value>(&mut self, name: &str, _: &mut W, _: &Rule<W>) {
        self.visitor.refuse(name, &self.why);
    }

    fn table<T: Table>(&mut self, name: &str, _: &mut T) {
        self.visitor.refuse(name, &self.why);
    }

    fn optional<T: Table>(&mut self, name: &str, _: &mut Option<T>) {
        self.visitor.refuse(name, &self.why);
    }

    fn tables<T: Table>(&mut self, name: &str, _: &mut BTreeMap<String, T>, _: Option<&str>) {
        self.visitor.refuse(name, &self.why);
    }

    fn list<T: Table>(&mut self, name: &str, _: &mut Vec<T>) {
        self.visitor.refuse(name, &self.why);
    }
}

/// Declares a table: `key: Type = default, rule(…);` for each key, then `[name]: Table;` for each table in it. A key's name in the file
/// has hyphens.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$key_meta:meta])* $key:ident: $type:ty = $default:expr $(, $rule:ident($($argument:expr)?))*;)*
            $([$inner:ident]: $table:ty;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $($(#[$key_meta])* pub(crate) $key: $type,)*
            $(pub(crate) $inner: $table,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($key: $default,)* $($inner: Default::default(),)* }
            }
        }

        impl $crate::config::table::Table for $name {
            fn visit(&mut self, visitor: &mut impl $crate::config::table::Visitor) {
                use $crate::config::table::Rule;
                $(
                    let rule: Rule<$type> = Rule::any()$(.$rule($($argument)?))*;
                    visitor.key(&stringify!($key).replace('_', "-"), &mut self.$key, &rule);
                )*
                $(visitor.table(&stringify!($inner).replace('_', "-"), &mut self.$inner);)*
            }
        }
    };
}

pub(super) use table;
