// What jsdom lacks, and JupyterLab's modules ask for when they are loaded.
class Nothing {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

Object.assign(globalThis, {
  DragEvent: class extends Event {},
  ResizeObserver: Nothing,
  matchMedia: () => ({ matches: false, addEventListener() {}, removeEventListener() {} }),
  requestIdleCallback: (work: () => void) => setTimeout(work, 0),
  cancelIdleCallback: clearTimeout,
  // React's act() in tests.
  IS_REACT_ACT_ENVIRONMENT: true
});
