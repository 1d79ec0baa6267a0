module wiretape.example/govcr

go 1.24

require (
	go.yaml.in/yaml/v4 v4.0.0-rc.3
	gopkg.in/dnaeon/go-vcr.v4 v4.0.6
	wiretape.example/goclient v0.0.0
)

replace wiretape.example/goclient => ../../e2e/go
