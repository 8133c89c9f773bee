const MOVES = {
  ArrowUp: (row, column) => [row - 1, column],
  ArrowDown: (row, column) => [row + 1, column],
  ArrowLeft: (row, column) => [row, column - 1],
  ArrowRight: (row, column) => [row, column + 1],
  Home: (row) => [row, 0],
  End: (row, _column, rows) => [row, rows[row].length - 1],
};
const MIRRORED = { ArrowLeft: "ArrowRight", ArrowRight: "ArrowLeft" };

/**
 * Makes a grid of elements one tab stop in which the arrow keys move, as the ARIA practices ask of a grid.
 * `rows` is an array of arrays; a gap may be null.
 */
export function rove(container, rows) {
  const places = new Map();
  rows.forEach((row, r) => row.forEach((element, c) => element && places.set(element, [r, c])));
  const elements = [...places.keys()];
  let stop = elements[0];
  for (const element of elements) element.tabIndex = element === stop ? 0 : -1;

  container.onkeydown = (event) => {
    const place = places.get(event.target);
    const rightToLeft = getComputedStyle(container).direction === "rtl";
    const move = MOVES[(rightToLeft && MIRRORED[event.key]) || event.key];
    if (!place || !move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const [row, column] = move(...place, rows);
    rows[row]?.[column]?.focus();
  };
  // A click focuses too, so the tab stop follows the focus and not the keys.
  for (const element of elements) {
    element.onfocus = () => {
      stop.tabIndex = -1;
      element.tabIndex = 0;
      stop = element;
    };
  }
}
