// A table that becomes a list of cards where the window is narrow. The roles are named because such a layout takes them away.

import type { ComponentChildren } from "preact";

export interface Column<Row> {
  title: string;
  cell: (row: Row) => ComponentChildren;
  isNumber?: boolean;
  /** For buttons: the title is only read out. */
  isAction?: boolean;
}

interface Props<Row> {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  id: (row: Row) => string;
}

export function Table<Row>({ label, columns, rows, id }: Props<Row>) {
  const look = (column: Column<Row>) => (column.isNumber ? "number" : column.isAction ? "action" : undefined);
  return (
    <div class="table-frame">
      <table role="table" aria-label={label}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <th key={column.title} scope="col" role="columnheader" class={look(column)}>
                {column.isAction ? <span class="only-read">{column.title}</span> : column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <tr key={id(row)} role="row">
              {columns.map((column, index) => (
                <td key={column.title} role={index === 0 ? "rowheader" : "cell"} class={look(column)} data-title={column.isAction ? undefined : column.title}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
