//go:build cuda && linux

package cuda

import _ "gorgonia.org/cu" // the driver's API
