//! Enums with a name for each variant, and sums field by field.

/// An enum with `ALL` and `name`: its variants in order, each with its name in reports.
macro_rules! named {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $enum { $($(#[$doc])* $variant,)* }

        impl $enum {
            /// All of them, in order.
            #[allow(dead_code, reason = "some are only named")]
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

/// Adds these fields of another sum.
macro_rules! add_fields {
    ($sum:ident += $other:ident: $($field:ident)*) => { $($sum.$field += $other.$field;)* };
}

pub(crate) use {add_fields, named};
