//! What is declared of a table is what its database has, and all of it is summed.

use rusqlite::Connection;

use super::*;

/// Every table, with the schema of its database.
fn tables() -> Vec<(String, &'static Table)> {
    let registry = registry::TABLES.into_iter().map(|table| (registry::schema(), table));
    registry.chain(log::TABLES.into_iter().map(|table| (log::schema(), table))).collect()
}

fn made(schema: &str) -> Connection {
    let registry = Connection::open_in_memory().unwrap();
    sum::teach(&registry).unwrap();
    registry.pragma_update(None, "foreign_keys", false).unwrap();
    registry.execute_batch(schema).unwrap();
    registry
}

fn columns(registry: &Connection, table: &str) -> Vec<String> {
    let mut select = registry.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
    select.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_table_is_made_with_the_columns_that_are_listed_and_its_sum() {
    for (schema, table) in tables() {
        let registry = made(&schema);
        let mut made = columns(&registry, table.name);
        assert_eq!(made.remove(table.first), "sum", "columns of later formats come behind it");
        let list = table.list().replace(&format!("{}.", table.alias), "");
        let count = table.width() - 1;
        assert_eq!(format!("{}, sum", made[..count].join(", ")), list);
        let more: &[&str] = if table.name == "products" { &["model_json", "model_sum"] } else { &[] };
        assert_eq!(made[count..], *more, "columns that only statements of their own know");
    }
}

/// Whatever column changes, SQL and Rust agree that the row is damaged; and before, that it is not.
#[test]
fn every_column_of_every_table_is_in_the_sum_of_its_row() {
    for (schema, table) in tables() {
        let registry = made(&schema);
        let names = columns(&registry, table.name);
        // Numbers that fit every column, so that each can be changed by one.
        let names = &names[..table.width()];
        let values: Vec<String> = (1..=table.width()).map(|n| n.to_string()).collect();
        let (into, values) = (names.join(", "), values.join(", "));
        registry.execute(&format!("INSERT INTO {} ({into}) VALUES ({values})", table.name), []).unwrap();
        let list = table.list().strip_suffix(&format!(", {}.sum", table.alias)).unwrap();
        let right = format!(
            "UPDATE {0} AS {1} SET sum = row_sum('{2}', {3}, {list})",
            table.name, table.alias, table.word, table.first
        );
        registry.execute(&right, []).unwrap();
        let intact = || {
            let (name, alias) = (table.name, table.alias);
            let sql = format!("SELECT {}, {} FROM {name} {alias}", table.list(), table.is_intact());
            registry
                .query_row(&sql, [], |row| {
                    let by_rust = table.check(row, 0, || "it".to_owned()).is_ok();
                    assert_eq!(by_rust, row.get::<_, bool>(table.width())?, "{name}");
                    Ok(by_rust)
                })
                .unwrap()
        };
        assert!(intact(), "{}", table.name);
        for column in names {
            let (name, change) = (table.name, format!("{column} = CAST({column} AS INTEGER)"));
            registry.execute_batch("SAVEPOINT one").unwrap();
            registry.execute(&format!("UPDATE {name} SET {change} + 1"), []).unwrap();
            assert!(!intact(), "{name}.{column} may change unseen");
            registry.execute_batch("ROLLBACK TO one; RELEASE one").unwrap();
        }
    }
}
