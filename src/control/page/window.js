// Rows of DOM for those items of a long list that are on screen. Rows are given other items as the list scrolls.

export class Window {
  #body;
  #make;
  /** All rows, those without an item among them. */
  rows = [];

  /** `make()` makes a row: its `element`, its `item` or null, and `give(item)`. */
  constructor(body, make) {
    [this.#body, this.#make] = [body, make];
  }

  rowOf(item) {
    return this.rows.find((row) => row.item === item);
  }

  /** The row of which the element is a part. */
  rowAround(element) {
    return this.rows.find((row) => row.element.contains(element));
  }

  /** Gives each item from `first` to `last` of the order a row, and calls `each(row, at, fresh)`. */
  assign(order, first, last, each) {
    const wanted = order.slice(first, last);
    // The row that has the focus stays while it exists, or the focus would be lost by scrolling.
    const focused = this.rowAround(document.activeElement)?.item;
    if (focused && !wanted.includes(focused) && order.includes(focused)) wanted.push(focused);
    const kept = new Map();
    const free = [];
    for (const row of this.rows) {
      if (row.item && wanted.includes(row.item)) kept.set(row.item, row);
      else free.push(row);
    }
    for (const item of wanted) {
      const row = kept.get(item) ?? free.pop() ?? this.#add();
      const fresh = row.item !== item;
      if (fresh) row.give(item);
      each(row, order.indexOf(item), fresh);
    }
    for (const row of free) row.give(null);
    const shown = this.rows.filter((row) => row.item);
    shown.sort((a, b) => order.indexOf(a.item) - order.indexOf(b.item));
    return shown;
  }

  #add() {
    const row = this.#make();
    this.rows.push(row);
    this.#body.append(row.element);
    return row;
  }
}

/** The order of the document is that of the screen, for Tab and for screen readers. */
export const arrange = (wanted) => {
  // An element that is moved loses the focus: the one that has it stays, and the others go around it.
  const pivot = Math.max(0, wanted.findIndex((element) => element.contains(document.activeElement)));
  for (let at = pivot - 1; at >= 0; at -= 1) {
    if (wanted[at + 1].previousElementSibling !== wanted[at]) wanted[at + 1].before(wanted[at]);
  }
  for (let at = pivot + 1; at < wanted.length; at += 1) {
    if (wanted[at - 1].nextElementSibling !== wanted[at]) wanted[at - 1].after(wanted[at]);
  }
};
