// Canvases at the screen's own resolution, in the colours of the stylesheet.

const surfaces = new Set();
let styles = getComputedStyle(document.documentElement);

/** The value of a custom property, such as `--low`. */
export const colour = (name) => styles.getPropertyValue(name).trim();

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

addEventListener("themechange", () => {
  styles = getComputedStyle(document.documentElement);
  for (const surface of surfaces) surface.changed();
});

/** A canvas that keeps its size in step with its box. `width` and `height` are in CSS pixels. */
export class Surface {
  width = 0;
  height = 0;
  /** Raised by a change of size or colours: all must be drawn again. */
  stale = true;

  constructor(canvas, { onChange } = {}) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.onChange = onChange;
    surfaces.add(this);
    new ResizeObserver(() => this.changed()).observe(canvas);
    this.changed();
  }

  changed() {
    const scale = Math.min(devicePixelRatio || 1, 3);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    this.stale = true;
    if (width !== this.width || height !== this.height || scale !== this.scale) {
      [this.width, this.height, this.scale] = [width, height, scale];
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      this.context.setTransform(scale, 0, 0, scale, 0, 0);
    }
    this.onChange?.();
  }

  clear() {
    this.context.clearRect(0, 0, this.width, this.height);
  }
}
