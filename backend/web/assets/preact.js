// The one place that names the vendored library.
export {
  h,
  html,
  render,
  useState,
  useEffect,
  useLayoutEffect,
  useRef,
  useMemo,
  useCallback,
} from "./preact/preact.js";
