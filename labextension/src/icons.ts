/** The panel's own icons. */

import { LabIcon } from '@jupyterlab/ui-components';
import panelSvg from '../style/icons/panel.svg';

export const panelIcon = new LabIcon({ name: 'envpanel:panel', svgstr: panelSvg });
